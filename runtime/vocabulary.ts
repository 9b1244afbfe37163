/**
 * The tokens and merges of byte-pair encoding, as the bundle's `vocabulary.bin` has them: used where
 * they lie, for a vocabulary as objects takes half a second and a hundred megabytes to make.
 */
import { BundleError } from './errors.ts';
import { vocabularyHeader } from './manifest.ts';

export interface Vocabulary {
  textOf(id: number): string | undefined;
  idOf(text: string): number | undefined;
  /** The tokens of a word: pairs are merged by rank, from the left where ranks are equal. */
  split(word: string): string[];
}

/** Throws BundleError for bytes that are no vocabulary. */
export function openVocabulary(bytes: Uint8Array): Vocabulary {
  const { tokens, merges, offsets, pairs, text } = partsOf(bytes);
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const encoder = new TextEncoder();
  const begin = (id: number): number => offsets[id] ?? 0;
  const end = (id: number): number => offsets[id + 1] ?? 0;

  const textOf = (id: number): string | undefined =>
    id >= 0 && id < tokens && end(id) > begin(id)
      ? decoder.decode(text.subarray(begin(id), end(id)))
      : undefined;

  /** Ids by the hash of their text, made for the first text; one more, so that 0 is an empty place. */
  let ids: Int32Array | undefined;
  const places = sizeFor(tokens);
  const makeIds = (): Int32Array => {
    const table = new Int32Array(places);
    for (let id = 0; id < tokens; id++) {
      if (end(id) <= begin(id)) continue;
      let place = hashOf(text, begin(id), end(id)) & (places - 1);
      while (table[place] !== 0) place = (place + 1) & (places - 1);
      table[place] = id + 1;
    }
    return table;
  };
  let buffer = new Uint8Array(256);
  const idOf = (wanted: string): number | undefined => {
    if (3 * wanted.length > buffer.byteLength) buffer = new Uint8Array(6 * wanted.length);
    const { written, read } = encoder.encodeInto(wanted, buffer);
    if (read < wanted.length || written === 0) return undefined;
    const table = (ids ??= makeIds());
    let place = hashOf(buffer, 0, written) & (places - 1);
    for (;;) {
      const id = (table[place] ?? 0) - 1;
      if (id < 0) return undefined;
      if (same(text, begin(id), end(id), buffer, written)) return id;
      place = (place + 1) & (places - 1);
    }
  };

  /** Ranks by the hash of their pair, likewise. */
  let ranks: Int32Array | undefined;
  const rankPlaces = sizeFor(merges);
  const placeOf = (table: Int32Array, left: number, right: number): number => {
    let place = hashOfPair(left, right) & (rankPlaces - 1);
    for (;;) {
      const at = 3 * ((table[place] ?? 0) - 1);
      if (at < 0 || (pairs[at] === left && pairs[at + 1] === right)) return place;
      place = (place + 1) & (rankPlaces - 1);
    }
  };
  const makeRanks = (): Int32Array => {
    const table = new Int32Array(rankPlaces);
    // Of equal pairs the last one counts.
    for (let i = 0; i < merges; i++)
      table[placeOf(table, pairs[3 * i] ?? 0, pairs[3 * i + 1] ?? 0)] = i + 1;
    return table;
  };
  const rankOf = (left: number, right: number): number => {
    if (left < 0 || right < 0) return -1;
    const table = (ranks ??= makeRanks());
    return (table[placeOf(table, left, right)] ?? 0) - 1;
  };

  const split = (word: string): string[] => {
    const chars = Array.from(word);
    const n = chars.length;
    if (n < 2) return chars;
    const own = Int32Array.from(chars, (c) => idOf(c) ?? -1);
    const next = Int32Array.from(chars, (_, i) => i + 1); // n: none
    const before = Int32Array.from(chars, (_, i) => i - 1);
    const gone = new Uint8Array(n);
    const heap = makeHeap();
    const offer = (i: number): void => {
      const j = next[i] ?? n;
      if (j >= n) return;
      const rank = rankOf(own[i] ?? -1, own[j] ?? -1);
      if (rank >= 0) heap.push(rank * perRank + i);
    };
    for (let i = 0; i + 1 < n; i++) offer(i);
    for (let key = heap.pop(); key >= 0; key = heap.pop()) {
      const [rank, i] = [Math.floor(key / perRank), key % perRank];
      const j = next[i] ?? n;
      // What was offered before one of the pair was merged with another.
      if (gone[i] === 1 || j >= n || rankOf(own[i] ?? -1, own[j] ?? -1) !== rank) continue;
      own[i] = pairs[3 * rank + 2] ?? -1;
      gone[j] = 1;
      const k = next[j] ?? n;
      next[i] = k;
      if (k < n) before[k] = i;
      offer(i);
      const h = before[i] ?? -1;
      if (h >= 0) offer(h);
    }
    const out: string[] = [];
    for (let i = 0; i < n; i = next[i] ?? n) {
      const id = own[i] ?? -1;
      out.push((id < 0 ? chars[i] : textOf(id)) ?? '');
    }
    return out;
  };
  return { textOf, idOf, split };
}

interface Parts {
  readonly tokens: number;
  readonly merges: number;
  readonly offsets: Uint32Array;
  readonly pairs: Uint32Array;
  readonly text: Uint8Array;
}

function partsOf(given: Uint8Array): Parts {
  // Words lie at multiples of 4.
  const bytes = given.byteOffset % 4 === 0 ? given : new Uint8Array(given);
  const bad = (): never => {
    throw new BundleError('bundle/tokenizer', 'the vocabulary is damaged');
  };
  const { words, magic, version } = vocabularyHeader;
  if (bytes.byteLength < 4 * words) return bad();
  const at = (from: number, length: number): Uint32Array =>
    new Uint32Array(bytes.buffer, bytes.byteOffset + 4 * from, length);
  const [found, made, tokens = 0, merges = 0, length = 0] = at(0, words);
  const textAt = words + tokens + 1 + 3 * merges;
  if (found !== magic || made !== version || 4 * textAt + length !== bytes.byteLength) return bad();
  return {
    tokens,
    merges,
    offsets: at(words, tokens + 1),
    pairs: at(words + tokens + 1, 3 * merges),
    text: bytes.subarray(4 * textAt),
  };
}

/** A key of the heap is the rank, then the place: words have fewer characters than this. */
const perRank = 2 ** 31;

/** Least key first; -1 when there is none. */
function makeHeap() {
  const keys: number[] = [];
  return {
    push(key: number): void {
      let i = keys.length;
      keys.push(key);
      while (i > 0) {
        const up = (i - 1) >> 1;
        const parent = keys[up] ?? 0;
        if (parent <= key) break;
        keys[i] = parent;
        i = up;
      }
      keys[i] = key;
    },
    pop(): number {
      const [least = -1] = keys;
      const key = keys.pop();
      const n = keys.length;
      if (key === undefined || n === 0) return least;
      let i = 0;
      for (;;) {
        let down = 2 * i + 1;
        if (down >= n) break;
        if (down + 1 < n && (keys[down + 1] ?? 0) < (keys[down] ?? 0)) down++;
        const child = keys[down] ?? 0;
        if (child >= key) break;
        keys[i] = child;
        i = down;
      }
      keys[i] = key;
      return least;
    },
  };
}

/** A power of two, at most half of it used. */
const sizeFor = (entries: number): number => 2 ** Math.ceil(Math.log2(2 * entries + 2));

/** FNV-1a, its bits mixed once more. */
function hashOf(bytes: Uint8Array, from: number, to: number): number {
  let h = 0x811c9dc5;
  for (let i = from; i < to; i++) h = Math.imul(h ^ (bytes[i] ?? 0), 0x01000193);
  return mix(h);
}

const hashOfPair = (left: number, right: number): number =>
  mix(Math.imul(left, 0x9e3779b1) ^ Math.imul(right + 1, 0x85ebca6b));

function mix(h: number): number {
  const x = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return (x ^ (x >>> 13)) >>> 0;
}

function same(a: Uint8Array, from: number, to: number, b: Uint8Array, length: number): boolean {
  if (to - from !== length) return false;
  for (let i = 0; i < length; i++) if (a[from + i] !== b[i]) return false;
  return true;
}
