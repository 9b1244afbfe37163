/**
 * GGUF files of any shape with random weights, to measure with no downloaded ones. Blocks are random
 * codes under scales chosen so that a weight has mean 0 and variance 1 / inner size: nothing is quantised,
 * so that a billion parameters take seconds. The same shape and type give the same bytes.
 */
import { createCipheriv } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type GgufEntry, type Meta, ggufAlign, ggufHead } from '../test/helpers/gguf.ts';
import { codeOf, f16Format } from '../compiler/base/number-format.ts';
import { unreachable } from '../compiler/base/invariant.ts';
import { e2m1 } from '../stdlib/index.ts';

const toF16Bits = (x: number): number => codeOf(f16Format, x);

export interface GgufShape {
  readonly name: string;
  readonly architecture: 'llama' | 'qwen3' | 'qwen3moe';
  readonly vocab: number;
  readonly width: number;
  /** Of one expert in a mixture. */
  readonly inner: number;
  readonly depth: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly head: number;
  readonly context: number;
  readonly experts?: { readonly count: number; readonly used: number };
}

export const ggufShapes: readonly GgufShape[] = [
  {
    name: 'llama-1b',
    architecture: 'llama',
    vocab: 128256,
    width: 2048,
    inner: 8192,
    depth: 16,
    heads: 32,
    kvHeads: 8,
    head: 64,
    context: 16384,
  },
  {
    name: 'llama-150m',
    architecture: 'llama',
    vocab: 32000,
    width: 1024,
    inner: 2816,
    depth: 12,
    heads: 16,
    kvHeads: 8,
    head: 64,
    context: 16384,
  },
  // 3.6 billion parameters, 2.0 GB in Q4_0.
  {
    name: 'qwen3moe-2gb',
    architecture: 'qwen3moe',
    vocab: 32000,
    width: 1024,
    inner: 768,
    depth: 23,
    heads: 16,
    kvHeads: 4,
    head: 128,
    context: 16384,
    experts: { count: 64, used: 8 },
  },
];

export const blockNames = ['Q4_0', 'Q8_0', 'Q4_K', 'Q6_K', 'MXFP4', 'F16', 'BF16'] as const;
export type BlockName = (typeof blockNames)[number];
type TypeName = BlockName | 'F32';

/** `enum ggml_type`, elements and bytes of a block. */
const types: Readonly<Record<TypeName, { id: number; elements: number; bytes: number }>> = {
  F32: { id: 0, elements: 1, bytes: 4 },
  F16: { id: 1, elements: 1, bytes: 2 },
  Q4_0: { id: 2, elements: 32, bytes: 18 },
  Q8_0: { id: 8, elements: 32, bytes: 34 },
  Q4_K: { id: 12, elements: 256, bytes: 144 },
  Q6_K: { id: 14, elements: 256, bytes: 210 },
  BF16: { id: 30, elements: 1, bytes: 2 },
  MXFP4: { id: 39, elements: 32, bytes: 17 },
};

interface Entry extends GgufEntry {
  readonly kind: TypeName;
}

/** The tensors of the file in order; `type` is that of all matrices but the router. */
export function ggufTensors(shape: GgufShape, type: BlockName): readonly Entry[] {
  const { width, inner, heads, kvHeads, head, experts } = shape;
  const entry = (name: string, kind: TypeName, ...dims: readonly number[]): Entry => {
    const { id, elements, bytes } = types[kind];
    if ((dims.at(-1) ?? 0) % elements !== 0)
      throw new Error(`${name}: rows of ${dims.at(-1)} are not whole blocks of ${kind}`);
    const byteLength = (dims.reduce((a, b) => a * b, 1) / elements) * bytes;
    return { name: `${name}.weight`, type: id, shape: dims, byteLength, kind };
  };
  const layer = (l: number): readonly Entry[] => {
    const b = `blk.${l}`;
    return [
      entry(`${b}.attn_norm`, 'F32', width),
      entry(`${b}.attn_q`, type, heads * head, width),
      entry(`${b}.attn_k`, type, kvHeads * head, width),
      entry(`${b}.attn_v`, type, kvHeads * head, width),
      entry(`${b}.attn_output`, type, width, heads * head),
      ...(shape.architecture === 'llama'
        ? []
        : [entry(`${b}.attn_q_norm`, 'F32', head), entry(`${b}.attn_k_norm`, 'F32', head)]),
      entry(`${b}.ffn_norm`, 'F32', width),
      ...(experts === undefined
        ? [
            entry(`${b}.ffn_gate`, type, inner, width),
            entry(`${b}.ffn_up`, type, inner, width),
            entry(`${b}.ffn_down`, type, width, inner),
          ]
        : [
            entry(`${b}.ffn_gate_inp`, 'F32', experts.count, width),
            entry(`${b}.ffn_gate_exps`, type, experts.count, inner, width),
            entry(`${b}.ffn_up_exps`, type, experts.count, inner, width),
            entry(`${b}.ffn_down_exps`, type, experts.count, width, inner),
          ]),
    ];
  };
  return [
    entry('token_embd', type, shape.vocab, width),
    ...Array.from({ length: shape.depth }, (_, l) => layer(l)).flat(),
    entry('output_norm', 'F32', width),
  ];
}

/** The printable character that byte-level BPE writes a byte as. */
function byteTexts(): readonly string[] {
  const plain = (b: number): boolean => (b > 32 && b < 127) || (b > 160 && b !== 173);
  let shifted = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(plain(b) ? b : shifted++));
}

/** Words of small letters, each a merge of a shorter word and a letter: `ab`, then `abc`, then longer. */
function* letterMerges(): Generator<readonly [left: string, right: string]> {
  const letters = [...'abcdefghijklmnopqrstuvwxyz'];
  for (let shorter = letters; ;) {
    const words: string[] = [];
    for (const left of shorter)
      for (const right of letters) {
        yield [left, right];
        words.push(left + right);
      }
    shorter = words;
  }
}

/** Ids of the 256 bytes follow the special tokens. */
export const firstByte = 3;

/**
 * A byte-level BPE vocabulary as the Llama 3 and Qwen files have one, of the same size: bytes, then merges
 * of small letters. Texts without small letters are one token a byte.
 */
export function ggufMetadata(shape: GgufShape): Readonly<Record<string, Meta>> {
  const a = shape.architecture;
  const special = ['<unk>', '<s>', '</s>'];
  const first = firstByte + 256;
  if (shape.vocab < first) throw new Error(`a vocabulary has at least ${first} tokens`);
  const merges: (readonly [string, string])[] = [];
  for (const merge of letterMerges()) {
    if (merges.length === shape.vocab - first) break;
    merges.push(merge);
  }
  return {
    'general.architecture': { text: a },
    'general.name': { text: shape.name },
    [`${a}.vocab_size`]: { u32: shape.vocab },
    [`${a}.context_length`]: { u32: shape.context },
    [`${a}.embedding_length`]: { u32: shape.width },
    [`${a}.block_count`]: { u32: shape.depth },
    [`${a}.feed_forward_length`]: { u32: shape.inner },
    [`${a}.attention.head_count`]: { u32: shape.heads },
    [`${a}.attention.head_count_kv`]: { u32: shape.kvHeads },
    [`${a}.attention.key_length`]: { u32: shape.head },
    [`${a}.attention.value_length`]: { u32: shape.head },
    [`${a}.attention.layer_norm_rms_epsilon`]: { f32: 1e-5 },
    [`${a}.rope.dimension_count`]: { u32: shape.head },
    [`${a}.rope.freq_base`]: { f32: 500000 },
    ...(shape.experts === undefined
      ? {}
      : {
          [`${a}.expert_count`]: { u32: shape.experts.count },
          [`${a}.expert_used_count`]: { u32: shape.experts.used },
          [`${a}.expert_feed_forward_length`]: { u32: shape.inner },
        }),
    'tokenizer.ggml.model': { text: 'gpt2' },
    'tokenizer.ggml.pre': { text: a === 'llama' ? 'llama-bpe' : 'qwen2' },
    'tokenizer.ggml.tokens': {
      texts: [...special, ...byteTexts(), ...merges.map(([l, r]) => l + r)],
    },
    // Control; normal.
    'tokenizer.ggml.token_type': {
      i32s: Array.from({ length: shape.vocab }, (_, i) => (i < firstByte ? 3 : 1)),
    },
    'tokenizer.ggml.merges': { texts: merges.map((m) => m.join(' ')) },
    'tokenizer.ggml.bos_token_id': { u32: 1 },
    'tokenizer.ggml.eos_token_id': { u32: 2 },
    'tokenizer.ggml.add_bos_token': { bool: true },
  };
}

/** Writes the file under `cache` unless it is there, in pieces of a few megabytes; its path. */
export async function makeGguf(shape: GgufShape, type: BlockName, cache: string): Promise<string> {
  const { name, architecture, vocab, width, inner, depth, heads, kvHeads, head, experts } = shape;
  const sizes = [vocab, width, inner, depth, heads, kvHeads, head, shape.context];
  const mixture = experts === undefined ? [] : [experts.count, experts.used];
  const facts = [name, architecture, ...sizes, ...mixture, type, 'bpe'];
  const path = join(cache, `${facts.join('-')}.gguf`);
  if (existsSync(path)) return path;
  mkdirSync(cache, { recursive: true });
  const partial = `${path}.${process.pid}.partial`;
  const tensors = ggufTensors(shape, type);
  try {
    const file = await open(partial, 'w');
    try {
      await file.writeFile(ggufHead(ggufMetadata(shape), tensors));
      for (const [seed, tensor] of tensors.entries()) {
        for (const piece of randomBlocks(tensor, seed)) await file.writeFile(piece);
        const tail = tensor.byteLength % ggufAlign;
        if (tail !== 0) await file.writeFile(Buffer.alloc(ggufAlign - tail));
      }
    } finally {
      await file.close();
    }
    renameSync(partial, path);
  } finally {
    rmSync(partial, { force: true });
  }
  return path;
}

function* randomBlocks(tensor: Entry, seed: number): Generator<Uint8Array> {
  const { bytes } = types[tensor.kind];
  const inner = tensor.shape.at(-1) ?? 1;
  const fix = fixer(tensor.kind, inner, tensor.shape.length === 1);
  // The key stream of AES in counter mode: gigabytes of random bytes per second.
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed + 1);
  const stream = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  const most = Math.floor(2 ** 23 / bytes) * bytes;
  for (let at = 0; at < tensor.byteLength; at += most) {
    const piece = stream.update(Buffer.alloc(Math.min(most, tensor.byteLength - at)));
    fix(piece);
    yield piece;
  }
}

/** Makes whole blocks of random bytes into blocks of weights with variance 1 / `inner`. */
function fixer(kind: TypeName, inner: number, norm: boolean): (blocks: Buffer) => void {
  const sigma = 1 / Math.sqrt(inner);
  const { bytes } = types[kind];
  /** Codes of n levels around one half below zero have this root mean square. */
  const rms = (levels: number): number => Math.sqrt((levels * levels - 1) / 12 + 0.25);
  switch (kind) {
    case 'F32':
      return (b) => {
        for (let i = 0; i < b.length; i += 4) {
          const x = b.readInt32LE(i) / 2 ** 31;
          b.writeFloatLE(norm ? 1 + 0.1 * x : x * sigma * Math.sqrt(3), i);
        }
      };
    case 'F16':
    case 'BF16': {
      const table = Uint16Array.from({ length: 65536 }, (_, i) => {
        const x = ((i + 0.5) / 32768 - 1) * sigma * Math.sqrt(3);
        if (kind === 'F16') return toF16Bits(x);
        return (new Uint32Array(Float32Array.of(x).buffer)[0] ?? 0) >>> 16;
      });
      return (b) => {
        for (let i = 0; i < b.length; i += 2) b.writeUInt16LE(table[b.readUInt16LE(i)] ?? 0, i);
      };
    }
    case 'MXFP4': {
      // Powers of two around the scale, the larger as often as the variance asks for.
      const scale = sigma / Math.sqrt(e2m1.reduce((sum, v) => sum + v * v, 0) / e2m1.length);
      const e = Math.floor(Math.log2(scale));
      const larger = ((scale / 2 ** e) ** 2 - 1) / 3;
      return (b) => {
        for (let i = 0; i * bytes < b.length; i++) {
          b[i * bytes] = e + 127 + Math.floor((i + 1) * larger) - Math.floor(i * larger);
        }
      };
    }
    // The sign of a block's scale stays random: the codes' mean of -1/2 cancels over a row.
    case 'Q4_0': {
      const d = toF16Bits(sigma / rms(16));
      return (b) => {
        for (let i = 0; i < b.length; i += bytes) {
          b[i] = d & 255;
          b[i + 1] = (d >> 8) | ((b[i + 1] ?? 0) & 128);
        }
      };
    }
    case 'Q8_0': {
      const d = toF16Bits(sigma / rms(256));
      return (b) => {
        // No quantiser writes -128.
        for (let i = 0; i < b.length; i++) if (b[i] === 128) b[i] = 129;
        for (let i = 0; i < b.length; i += bytes) {
          b[i] = d & 255;
          b[i + 1] = (d >> 8) | ((b[i + 1] ?? 0) & 128);
        }
      };
    }
    case 'Q4_K': {
      // Scales 32..63 and minima equal to them: at dmin = 7.5 d each sub-block has mean 0.
      const d = sigma / Math.sqrt((16 * 16 - 1) / 12) / Math.sqrt(47.5 ** 2 + (32 * 32 - 1) / 12);
      const dBits = toF16Bits(d);
      const minBits = toF16Bits(7.5 * d);
      return (b) => {
        for (let i = 0; i < b.length; i += bytes) {
          b.writeUInt16LE(dBits, i);
          b.writeUInt16LE(minBits, i + 2);
          for (let j = 0; j < 4; j++) {
            const low = 32 | ((b[i + 4 + j] ?? 0) & 31);
            const high = 32 | ((b[i + 8 + j] ?? 0) & 31);
            const top = (high >> 4) << 6;
            b[i + 4 + j] = low | top;
            b[i + 8 + j] = low | top;
            b[i + 12 + j] = (high & 15) | ((high & 15) << 4);
          }
        }
      };
    }
    case 'Q6_K': {
      // Scales of either sign, 32..95 in size.
      const d = sigma / rms(64) / Math.sqrt(63.5 ** 2 + (64 * 64 - 1) / 12);
      const dBits = toF16Bits(d);
      return (b) => {
        for (let i = 0; i < b.length; i += bytes) {
          for (let j = 192; j < 208; j++) {
            const r = b[i + j] ?? 0;
            const size = 32 + (r & 63);
            b[i + j] = r & 128 ? 256 - size : size;
          }
          b.writeUInt16LE(dBits, i + 208);
        }
      };
    }
    default:
      return unreachable(kind);
  }
}
