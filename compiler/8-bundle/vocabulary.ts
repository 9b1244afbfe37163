/** A tokenizer's vocabulary taken out of its JSON, into arrays that a runtime uses as they are. */
import { vocabularyHeader } from '../../runtime/manifest.ts';

export interface SplitTokenizer {
  /** The tokenizer's JSON with no tokens and no merges. */
  readonly rules: string;
  readonly vocabulary: Uint8Array;
}

type Json = Readonly<Record<string, unknown>>;
const isObject = (v: unknown): v is Json =>
  typeof v === 'object' && v !== null && !Array.isArray(v);

/** Undefined where the tokenizer is no plain byte-pair encoding, or does not fit the arrays. */
export function splitTokenizer(json: string): SplitTokenizer | undefined {
  const tokenizer = parsed(json);
  const model = tokenizer?.['model'];
  if (!isObject(model) || model['type'] !== 'BPE') return undefined;
  const affixes = ['end_of_word_suffix', 'continuing_subword_prefix', 'continuing_subword_suffix'];
  if (affixes.some((name) => Boolean(model[name]))) return undefined;
  const ids = idsOf(model['vocab']);
  const merges = ids && mergesOf(model['merges'], ids);
  const vocabulary = merges && write(ids, merges);
  if (!vocabulary) return undefined;
  const rules = { ...tokenizer, model: { ...model, vocab: {}, merges: [] } };
  return { rules: JSON.stringify(rules), vocabulary };
}

function parsed(json: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined; // the runtime says it of the file itself
  }
}

/** Holes between ids cost a word each; more of them than this are no vocabulary. */
const mostIds = 2 ** 22;

function idsOf(vocab: unknown): ReadonlyMap<string, number> | undefined {
  if (!isObject(vocab)) return undefined;
  const ids = new Map<string, number>();
  const taken = new Set<number>();
  for (const [text, id] of Object.entries(vocab)) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= mostIds)
      return undefined;
    if (text === '' || taken.has(id)) return undefined;
    ids.set(text, id);
    taken.add(id);
  }
  return ids.size === 0 ? undefined : ids;
}

/** Ids of the left, the right and the merged token of each merge, in the order of their ranks. */
function mergesOf(
  merges: unknown,
  ids: ReadonlyMap<string, number>,
): readonly number[] | undefined {
  if (!Array.isArray(merges)) return undefined;
  const out: number[] = [];
  for (const merge of merges as readonly unknown[]) {
    const parts: readonly unknown[] =
      typeof merge === 'string' ? merge.split(' ', 2) : Array.isArray(merge) ? merge : [];
    const [left, right] = parts;
    if (parts.length !== 2 || typeof left !== 'string' || typeof right !== 'string')
      return undefined;
    const three = [left, right, left + right].map((text) => ids.get(text));
    if (three.some((id) => id === undefined)) return undefined;
    out.push(...three.filter((id) => id !== undefined));
  }
  return out;
}

/** Undefined where a token is no text that UTF-8 can say. */
function write(
  ids: ReadonlyMap<string, number>,
  merges: readonly number[],
): Uint8Array | undefined {
  const encoder = new TextEncoder();
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const tokens = [...ids.values()].reduce((a, b) => Math.max(a, b), 0) + 1;
  const texts = new Array<Uint8Array | undefined>(tokens);
  for (const [text, id] of ids) {
    const bytes = encoder.encode(text);
    if (decoder.decode(bytes) !== text) return undefined;
    texts[id] = bytes;
  }
  const length = texts.reduce((n, t) => n + (t?.byteLength ?? 0), 0);
  const { words, magic, version } = vocabularyHeader;
  const textAt = 4 * (words + tokens + 1 + merges.length);
  const out = new Uint8Array(textAt + length);
  const view = new DataView(out.buffer);
  let at = 0;
  const put = (word: number): void => view.setUint32(4 * at++, word, true);
  [magic, version, tokens, merges.length / 3, length].forEach(put);
  let end = 0;
  for (let id = 0; id < tokens; id++) {
    put(end);
    const text = texts[id];
    if (!text) continue;
    out.set(text, textAt + end);
    end += text.byteLength;
  }
  put(end);
  merges.forEach(put);
  return out;
}
