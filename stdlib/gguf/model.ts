/** GGUF files of the decoder's families: names and metadata as Hugging Face folders have them. */
import { type BoundModel, ConfigError, type GgufValue } from '../../compiler/index.ts';
import { ranges } from '../families/config.ts';
import { modelOf } from '../families/index.ts';

interface Architecture {
  /** What `general.architecture` says. */
  readonly name: string;
  /** Rows of q and k are stored as pairs that rotate, head by head. */
  readonly paired: boolean;
  /** The `model_type` of files without experts, and what those with experts are, where there are such. */
  readonly dense?: string;
  readonly mixture?: Mixture;
}

/** What a model with experts is called, and the modules of its layers. */
interface Mixture {
  readonly modelType: string;
  /** `*` for the expert: files keep experts in one tensor. */
  readonly modules: Readonly<Record<string, string>>;
}

const mixtral: Mixture = {
  modelType: 'mixtral',
  modules: {
    ffn_gate_inp: 'block_sparse_moe.gate',
    ffn_gate_exps: 'block_sparse_moe.experts.*.w1',
    ffn_down_exps: 'block_sparse_moe.experts.*.w2',
    ffn_up_exps: 'block_sparse_moe.experts.*.w3',
  },
};

const qwenMixture: Mixture = {
  modelType: 'qwen3_moe',
  modules: {
    ffn_gate_inp: 'mlp.gate',
    ffn_gate_exps: 'mlp.experts.*.gate_proj',
    ffn_up_exps: 'mlp.experts.*.up_proj',
    ffn_down_exps: 'mlp.experts.*.down_proj',
  },
};

const architectures: readonly Architecture[] = [
  { name: 'llama', paired: true, dense: 'llama', mixture: mixtral },
  { name: 'qwen2', paired: false, dense: 'qwen2' },
  { name: 'qwen3', paired: false, dense: 'qwen3' },
  { name: 'qwen3moe', paired: false, mixture: qwenMixture },
];

/** Modules outside of layers, and those of layers, `blk.N.` before the first and `model.layers.N.` before the second. */
const outside: Readonly<Record<string, string>> = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
};
const ofLayers: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};

/** The tensor that holds the divisors of RoPE's frequencies where a model stretches them (Llama 3). */
export const ropeDivisors = 'rope_freqs.weight';

export interface GgufModel {
  readonly bound: BoundModel;
  /**
   * The name that the model's weights have for a tensor of the file; others stay. `stacked`: it is
   * one name for each index of the tensor's first axis, which stands where the name has `*`.
   */
  rename(name: string): { readonly name: string; readonly stacked: boolean };
  /** Heads whose rows a tensor of the file stores as pairs; undefined where rows are in order. */
  pairedHeads(name: string): number | undefined;
}

export interface GgufDescription {
  readonly file: string;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** Shapes by the file's names, the contiguous axis last. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** The numbers of the tensor `ropeDivisors`, where there is one. */
  readonly divisors?: readonly number[];
}

/** The model that a file's metadata describes. Throws ConfigError. */
export function ggufModel(from: GgufDescription): GgufModel {
  const { file, metadata } = from;
  const found = metadata.get('general.architecture');
  const architecture = architectures.find((a) => a.name === found);
  if (!architecture) {
    const known = architectures.map((a) => a.name).join(', ');
    throw new ConfigError(
      'config/field',
      `${file}: general.architecture is ${show(found)}: expected one of ${known}`,
    );
  }
  const config = configOf(from, architecture);
  const bound = modelOf(config, file);
  return {
    bound: from.divisors ? stretched(bound, from.divisors, file) : bound,
    rename: (name) => renamed(name, architecture.mixture?.modules ?? {}),
    pairedHeads(name) {
      const part = architecture.paired ? /^blk\.\d+\.attn_([qk])\.(weight|bias)$/.exec(name)?.[1] : undefined; // prettier-ignore
      if (part === undefined) return undefined;
      const heads = config[part === 'q' ? 'num_attention_heads' : 'num_key_value_heads'];
      return typeof heads === 'number' ? heads : undefined;
    },
  };
}

function renamed(
  name: string,
  experts: Mixture['modules'],
): { readonly name: string; readonly stacked: boolean } {
  const [, layer, module = '', kind = ''] = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(name) ?? []; // prettier-ignore
  const table = layer === undefined ? outside : { ...ofLayers, ...experts };
  const own = Object.hasOwn(table, module) ? table[module] : undefined;
  if (own === undefined) return { name, stacked: false };
  const prefix = layer === undefined ? '' : `model.layers.${layer}.`;
  return { name: `${prefix}${own}.${kind}`, stacked: own.includes('*') };
}

/** The metadata as the `config.json` that the same model has; its fields are checked by who reads it. */
function configOf(
  { file, metadata, shapes }: GgufDescription,
  { name, dense, mixture }: Architecture,
): Readonly<Record<string, unknown>> {
  const get = (key: string): GgufValue | undefined => metadata.get(`${name}.${key}`);
  const reject = (key: string, expected: string): never => {
    throw new ConfigError(
      'config/field',
      `${file}: ${name}.${key} is ${show(get(key))}: expected ${expected}`,
    );
  };
  const experts = get('expert_count') ?? 0;
  const modelType = experts === 0 ? dense : mixture?.modelType;
  if (modelType === undefined)
    reject('expert_count', dense === undefined ? 'experts' : 'no experts');
  const [width, heads] = [get('embedding_length'), get('attention.head_count')];
  if (typeof width !== 'number') return reject('embedding_length', 'a number');
  if (typeof heads !== 'number') return reject('attention.head_count', 'a number');
  const head = get('attention.key_length') ?? width / heads;
  if (typeof head !== 'number') return reject('attention.key_length', 'a number');
  if ((get('attention.value_length') ?? head) !== head) {
    reject('attention.value_length', `${head}, as long as the keys`);
  }
  const rotated = get('rope.dimension_count') ?? head;
  if (typeof rotated !== 'number') return reject('rope.dimension_count', 'a number');
  const [bos, eos, eot] = ['bos', 'eos', 'eot'].map((t) => metadata.get(`tokenizer.ggml.${t}_token_id`)); // prettier-ignore
  const ends = [...new Set([eos, eot])].filter((id) => id !== undefined);
  return {
    model_type: modelType,
    vocab_size: shapes.get('token_embd.weight')?.[0],
    hidden_size: width,
    num_hidden_layers: get('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: get('attention.head_count_kv') ?? heads,
    head_dim: head,
    partial_rotary_factor: rotated / head,
    intermediate_size: get('feed_forward_length'),
    rms_norm_eps: get('attention.layer_norm_rms_epsilon'),
    rope_theta: get('rope.freq_base') ?? 1e4,
    rope_scaling: scalingOf(get, reject),
    max_position_embeddings: get('context_length'),
    tie_word_embeddings: !shapes.has('output.weight'),
    attention_bias: shapes.has('blk.0.attn_output.bias'),
    mlp_bias: shapes.has('blk.0.ffn_gate.bias'),
    bos_token_id: bos,
    eos_token_id: ends,
    ...windowsOf(get, reject),
    ...(experts === 0 ? {} : mixtureOf(shapes, get, reject)),
  };
}

/** Fields for a window in all layers, in all but each nth, or in those that a list says. */
function windowsOf(
  get: (key: string) => GgufValue | undefined,
  reject: (key: string, expected: string) => never,
): Readonly<Record<string, unknown>> {
  const window = get('attention.sliding_window') ?? 0;
  if (window === 0) return {};
  const pattern = get('attention.sliding_window_pattern') ?? 0;
  const isList = Array.isArray(pattern) && pattern.every((p) => typeof p === 'boolean');
  if (typeof pattern !== 'number' && !isList) {
    reject('attention.sliding_window_pattern', 'a number or a list of true and false');
  }
  const slides = (l: number): boolean =>
    isList ? pattern[l] === true : pattern === 0 || l % Number(pattern) < Number(pattern) - 1;
  const layer_types = layersOf(get).map((l) =>
    slides(l) ? 'sliding_attention' : 'full_attention',
  );
  return { sliding_window: window, layer_types };
}

function layersOf(get: (key: string) => GgufValue | undefined): readonly number[] {
  const depth = get('block_count');
  const count = typeof depth === 'number' && depth > 0 ? Math.min(depth, ranges.depth.max) : 0;
  return Array.from({ length: count }, (_, l) => l);
}

/** Fields of configs with experts. Families that always have some of these ignore them. */
function mixtureOf(
  shapes: GgufDescription['shapes'],
  get: (key: string) => GgufValue | undefined,
  reject: (key: string, expected: string) => never,
): Readonly<Record<string, unknown>> {
  if ((get('expert_shared_count') ?? 0) !== 0) reject('expert_shared_count', 'no shared experts');
  if ((get('expert_gating_func') ?? softmaxGate) !== softmaxGate) reject('expert_gating_func', `${softmaxGate}, softmax`); // prettier-ignore
  if (![0, 1].some((s) => s === (get('expert_weights_scale') ?? 1))) reject('expert_weights_scale', '1'); // prettier-ignore
  return {
    num_experts: get('expert_count'),
    num_local_experts: get('expert_count'),
    num_experts_per_tok: get('expert_used_count'),
    moe_intermediate_size: get('expert_feed_forward_length'),
    // Files do not say so: the architectures that are read here divide by the sum.
    norm_topk_prob: true,
    mlp_only_layers: layersOf(get).filter((l) => !shapes.has(`blk.${l}.ffn_gate_inp.weight`)),
  };
}

/** `expert_gating_func`. */
const softmaxGate = 1;

function scalingOf(
  get: (key: string) => GgufValue | undefined,
  reject: (key: string, expected: string) => never,
): Readonly<Record<string, unknown>> | undefined {
  const type = get('rope.scaling.type') ?? 'none';
  if (type === 'none') return undefined;
  if (type !== 'linear' && type !== 'yarn') reject('rope.scaling.type', 'none, linear or yarn');
  if ((get('rope.scaling.attn_factor') ?? 1) !== 1) reject('rope.scaling.attn_factor', '1');
  return {
    rope_type: type,
    factor: get('rope.scaling.factor'),
    original_max_position_embeddings: get('rope.scaling.original_context_length'),
  };
}

function stretched(bound: BoundModel, divisors: readonly number[], file: string): BoundModel {
  const frequencies: unknown = bound.params?.['frequencies'];
  if (!Array.isArray(frequencies) || frequencies.length !== divisors.length) {
    throw new ConfigError(
      'config/field',
      `${file}: ${ropeDivisors} has ${divisors.length} numbers, not one for each pair that rotates`,
    );
  }
  const divided = frequencies.map((f: unknown, i) => Number(f) / (divisors[i] ?? 1));
  // A copy has the methods alone; `with` makes a model of it.
  return { ...bound, params: { ...bound.params, frequencies: divided } }.with();
}

const show = (value: GgufValue | undefined): string =>
  value === undefined ? 'missing' : typeof value === 'bigint' ? String(value) : JSON.stringify(value).slice(0, 60); // prettier-ignore
