/** The tokenizer in a GGUF file's metadata, as the files that Hugging Face folders have. */
import { CheckpointError, type GgufValue } from '../../compiler/index.ts';

type Metadata = ReadonlyMap<string, GgufValue>;

/** How a text is cut before its pieces are merged, by `tokenizer.ggml.pre`. */
interface Cutting {
  readonly names: readonly string[];
  /** Absent: GPT-2's, which the byte level has itself. */
  readonly pattern?: string;
  readonly normalizer?: string;
  /** A piece that is a token stays whole. */
  readonly ignoreMerges?: boolean;
  /** Whether texts begin with the token `bos` where the file does not say. */
  readonly bos?: boolean;
}

const words = (digits: string): string =>
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|` +
  digits +
  String.raw`| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

const cuttings: readonly Cutting[] = [
  { names: ['gpt-2'] },
  {
    names: ['llama-bpe', 'llama3', 'llama-v3'],
    pattern: words(String.raw`\p{N}{1,3}`),
    ignoreMerges: true,
    bos: true,
  },
  { names: ['qwen2', 'deepseek-r1-qwen'], pattern: words(String.raw`\p{N}`), normalizer: 'NFC' },
];

/** Kinds of tokens (`tokenizer.ggml.token_type`). */
const control = 3;
const userDefined = 4;

/**
 * Texts by the name of the file; empty where the metadata holds no tokenizer. Throws CheckpointError
 * where it is damaged or of a kind that is not read.
 */
export function ggufTokenizer(file: string, metadata: Metadata): ReadonlyMap<string, string> {
  const get = (key: string): GgufValue | undefined => metadata.get(`tokenizer.ggml.${key}`);
  const fail = (what: string): never => {
    throw new CheckpointError('checkpoint/tokenizer', `${file}: ${what}`);
  };
  const model = get('model');
  if (model === undefined) return new Map();
  const beside = 'put the model\'s tokenizer.json into the same folder'; // prettier-ignore
  if (model !== 'gpt2') {
    return fail(`a tokenizer of the kind ${String(model)}; gpt2 is read: ${beside}`);
  }
  const pre = get('pre');
  const cutting = cuttings.find((c) => c.names.some((n) => n === pre));
  if (!cutting) {
    const known = cuttings.flatMap((c) => c.names).join(', ');
    return fail(`tokenizer.ggml.pre is ${String(pre)}, none of ${known}: ${beside}`);
  }
  const tokens = textsOf(get('tokens')) ?? fail('tokenizer.ggml.tokens is no list of texts');
  const merges = textsOf(get('merges')) ?? fail('tokenizer.ggml.merges is no list of texts');
  const vocab = new Map(tokens.map((t, id) => [t, id]));
  if (vocab.size !== tokens.length) fail('a token is there twice');
  const kinds = get('token_type') ?? [];
  if (!Array.isArray(kinds) || (kinds.length > 0 && kinds.length !== tokens.length)) {
    fail('tokenizer.ggml.token_type is no list with a kind for each token');
  }
  const kindOf = (id: number): GgufValue | undefined => (Array.isArray(kinds) ? (kinds as readonly GgufValue[])[id] : undefined); // prettier-ignore
  const special = (name: string): string | undefined => {
    const id = get(`${name}_token_id`);
    if (id === undefined) return undefined;
    const token = typeof id === 'number' ? tokens[id] : undefined;
    return token ?? fail(`tokenizer.ggml.${name}_token_id is no token`);
  };
  const [bos, eos] = [special('bos'), special('eos')];
  const begins = (get('add_bos_token') ?? cutting.bos ?? false) === true ? bos : undefined;
  const ends = get('add_eos_token') === true ? eos : undefined;
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: tokens.flatMap((content, id) => {
      const kind = kindOf(id);
      if (kind !== control && kind !== userDefined) return [];
      const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
      return [{ id, content, ...plain, special: kind === control }];
    }),
    normalizer: cutting.normalizer === undefined ? null : { type: cutting.normalizer },
    pre_tokenizer: cut(cutting, get('add_space_prefix') === true),
    post_processor: template(vocab, begins, ends),
    decoder: byteLevel(false, true),
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: cutting.ignoreMerges ?? false,
      vocab: Object.fromEntries(vocab),
      merges: merges.map((m) => {
        const at = m.indexOf(' ', 1);
        return at < 1 || at === m.length - 1
          ? fail(`the merge ${JSON.stringify(m.slice(0, 60))} is no pair`)
          : [m.slice(0, at), m.slice(at + 1)];
      }),
    },
  };
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: bos,
    eos_token: eos,
    add_bos_token: begins !== undefined,
  };
  const chat = metadata.get('tokenizer.chat_template');
  return new Map([
    ['tokenizer.json', JSON.stringify(json)],
    ['tokenizer_config.json', JSON.stringify(config)],
    ...(typeof chat === 'string' ? [['chat_template.jinja', chat] as const] : []),
  ]);
}

const textsOf = (value: GgufValue | undefined): readonly string[] | undefined =>
  Array.isArray(value) && value.every((v) => typeof v === 'string') ? value : undefined;

const byteLevel = (prefix: boolean, regex: boolean) => ({
  type: 'ByteLevel',
  add_prefix_space: prefix,
  trim_offsets: true,
  use_regex: regex,
});

const cut = ({ pattern }: Cutting, prefix: boolean) =>
  pattern === undefined
    ? byteLevel(prefix, true)
    : {
        type: 'Sequence',
        pretokenizers: [
          { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
          byteLevel(prefix, false),
        ],
      };

/** What is put around a text. */
function template(
  vocab: ReadonlyMap<string, number>,
  begins: string | undefined,
  ends: string | undefined,
) {
  if (begins === undefined && ends === undefined) return null;
  const token = (id: string | undefined, type_id: number) =>
    id === undefined ? [] : [{ SpecialToken: { id, type_id } }];
  const text = (id: string, type_id: number) => ({ Sequence: { id, type_id } });
  const own = [...new Set([begins, ends])].filter((t) => t !== undefined);
  return {
    type: 'TemplateProcessing',
    single: [...token(begins, 0), text('A', 0), ...token(ends, 0)],
    pair: [
      ...token(begins, 0), text('A', 0), ...token(ends, 0),
      ...token(begins, 1), text('B', 1), ...token(ends, 1),
    ], // prettier-ignore
    special_tokens: Object.fromEntries(
      own.map((id) => [id, { id, ids: [vocab.get(id)], tokens: [id] }]),
    ),
  };
}
