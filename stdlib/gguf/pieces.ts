/** What a GGUF file's metadata says of a tokenizer of any kind. */
import { CheckpointError, type GgufValue } from '../../compiler/index.ts';

export type Metadata = ReadonlyMap<string, GgufValue>;

/** What is in the metadata for a tokenizer of any kind, checked. */
export interface Pieces {
  readonly tokens: readonly string[];
  /** `tokenizer.ggml.token_type` of each token; a normal one where the file says nothing. */
  kindOf(id: number): number;
  /** `tokenizer.ggml.` and the key. */
  get(key: string): GgufValue | undefined;
  /** The token with the id that `tokenizer.ggml.NAME_token_id` says, else with `id`. */
  special(name: string, id?: number): string | undefined;
  fail(what: string): never;
}

/** What the kinds of tokenizers do their own way. */
export interface Kind {
  readonly model: Readonly<Record<string, unknown>>;
  readonly normalizer: unknown;
  readonly pre_tokenizer: unknown;
  readonly decoder: unknown;
  /** Token of the beginning, the end, and whether texts get them where the file does not say. */
  readonly bos: string | undefined;
  readonly eos: string | undefined;
  readonly begins: boolean;
}

/** Kinds of tokens (`tokenizer.ggml.token_type`). */
export const tokenKinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 };

export const beside = "put the model's tokenizer.json into the same folder";

/** Throws CheckpointError where the tokens and their kinds are none. */
export function piecesOf(file: string, metadata: Metadata): Pieces {
  const get = (key: string): GgufValue | undefined => metadata.get(`tokenizer.ggml.${key}`);
  const fail = (what: string): never => {
    throw new CheckpointError('checkpoint/tokenizer', `${file}: ${what}`);
  };
  const tokens = textsOf(get('tokens')) ?? fail('tokenizer.ggml.tokens is no list of texts');
  if (new Set(tokens).size !== tokens.length) fail('a token is there twice');
  const types = numbersOf(get('token_type') ?? []);
  if (!types || (types.length > 0 && types.length !== tokens.length)) {
    return fail('tokenizer.ggml.token_type is no list with a kind for each token');
  }
  return {
    tokens,
    kindOf: (id) => types[id] ?? tokenKinds.normal,
    get,
    special(name, fallback) {
      const id = get(`${name}_token_id`) ?? fallback;
      if (id === undefined) return undefined;
      const token = typeof id === 'number' ? tokens[id] : undefined;
      return token ?? fail(`tokenizer.ggml.${name}_token_id is no token`);
    },
    fail,
  };
}

export const textsOf = (value: GgufValue | undefined): readonly string[] | undefined =>
  Array.isArray(value) && value.every((v) => typeof v === 'string') ? value : undefined;

export const numbersOf = (value: GgufValue | undefined): readonly number[] | undefined =>
  Array.isArray(value) && value.every((v) => typeof v === 'number') ? value : undefined;
