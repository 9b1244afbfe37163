/** Text to ids and back, by the bundle's tokenizer.json. */
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { BundleError, InputError } from './errors.ts';
import { type Vocabulary, openVocabulary } from './vocabulary.ts';

export interface Message {
  readonly role: string;
  readonly content: string;
}

export interface Tokenizer {
  /** `special`: with the token that begins a text. */
  encode(text: string, options?: { readonly special?: boolean }): number[];
  decode(ids: readonly number[]): string;
  /** A decoder for ids that come one by one; it holds back bytes that are no whole character yet. */
  stream(): { push(id: number): string; end(): string };
  /** The messages as the model's chat template writes them. Throws InputError without a template. */
  chat(messages: readonly Message[]): Promise<string>;
}

/** What a bundle holds of its tokenizer. */
export interface TokenizerFiles {
  readonly tokenizer: string;
  /** Tokens and merges, where `tokenizer` has none. */
  readonly vocabulary?: Uint8Array | undefined;
  readonly config: string | undefined;
  readonly chatTemplate: string | undefined;
  readonly bos: number | undefined;
}

export function makeTokenizer(files: TokenizerFiles): Tokenizer {
  const json = parseObject('the tokenizer', files.tokenizer);
  const config =
    files.config === undefined ? {} : parseObject('the tokenizer config', files.config);
  const inner = open(json, config);
  if (files.vocabulary) giveVocabulary(inner, openVocabulary(files.vocabulary));
  const addsBos = config['add_bos_token'] === true;
  const decode = (ids: readonly number[]): string =>
    ids.length === 0
      ? ''
      : inner.decode([...ids], { skip_special_tokens: true, clean_up_tokenization_spaces: false });
  return {
    encode(text, { special = true } = {}) {
      const { ids } = inner.encode(text, { add_special_tokens: special });
      const begun = !special || !addsBos || files.bos === undefined || ids[0] === files.bos;
      return begun ? ids : [files.bos, ...ids];
    },
    decode,
    stream: () => makeStream(decode),
    async chat(messages) {
      const template = files.chatTemplate ?? config['chat_template'];
      if (typeof template !== 'string') {
        throw new InputError(
          'input/chat',
          'the model has no chat template: give the prompt as a text',
        );
      }
      const { Template } = await import('@huggingface/jinja');
      return new Template(template).render({
        messages: messages.map((m) => ({ ...m })),
        add_generation_prompt: true,
        bos_token: config['bos_token'] ?? '',
        eos_token: config['eos_token'] ?? '',
      });
    },
  };
}

function open(json: object, config: object): HuggingFaceTokenizer {
  try {
    return new HuggingFaceTokenizer(json, config);
  } catch (e) {
    throw new BundleError(
      'bundle/tokenizer',
      `the tokenizer cannot be read: ${String(e).slice(0, 200)}`,
    );
  }
}

/** Words whose tokens are kept, for most words come again. */
const keptWords = 10_000;

/** What the package's tokenizer keeps of byte-pair encoding, as far as it is replaced. */
interface BytePairModel {
  readonly tokens_to_ids: Map<string, number>;
  vocab: string[];
  unk_token_id?: number | undefined;
  readonly unk_token?: string | null;
  bpe(word: string): string[];
}

/** Puts a vocabulary behind a tokenizer that has none but the tokens added to it. */
function giveVocabulary(tokenizer: HuggingFaceTokenizer, vocabulary: Vocabulary): void {
  const model: BytePairModel | null = tokenizer.model;
  if (typeof model?.bpe !== 'function') {
    throw new BundleError('bundle/tokenizer', 'the tokenizer has a vocabulary of another kind');
  }
  const added = model.tokens_to_ids;
  const addedId = added.get.bind(added);
  added.get = (text) => addedId(text) ?? vocabulary.idOf(text);
  added.has = (text) => added.get(text) !== undefined;
  model.unk_token_id =
    typeof model.unk_token === 'string' ? vocabulary.idOf(model.unk_token) : undefined;
  model.vocab = new Proxy(model.vocab, {
    get(texts, key) {
      const own: unknown = Reflect.get(texts, key);
      return own === undefined && typeof key === 'string' ? vocabulary.textOf(Number(key)) : own;
    },
  });
  const words = new Map<string, string[]>();
  model.bpe = (word) => {
    const known = words.get(word);
    if (known) return known;
    const tokens = vocabulary.split(word);
    if (words.size === keptWords) words.clear();
    if (word.length < 256) words.set(word, tokens);
    return tokens;
  };
}

function parseObject(what: string, text: string): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return { ...json };
  } catch {
    // said below
  }
  throw new BundleError('bundle/tokenizer', `${what} is no JSON object`);
}

/** Ids kept to decode with what follows: a character may take several tokens. */
const mostPending = 16;

function makeStream(decode: (ids: readonly number[]) => string) {
  let pending: number[] = [];
  let before: number[] = [];
  // The last tokens before are decoded again, for some decoders treat the first token apart.
  const fresh = (): string => decode([...before, ...pending]).slice(decode(before).length);
  return {
    push(id: number): string {
      pending.push(id);
      const text = fresh();
      if (text.endsWith('\uFFFD') && pending.length < mostPending) return '';
      before = pending.slice(-4);
      pending = [];
      return text;
    },
    end(): string {
      const text = pending.length === 0 ? '' : fresh();
      pending = [];
      return text;
    },
  };
}
