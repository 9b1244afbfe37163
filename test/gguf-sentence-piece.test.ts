/** SentencePiece tokenizers of GGUF files, held against merging by scores written out plainly. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CheckpointError, type GgufValue } from '../compiler/index.ts';
import { makeTokenizer } from '../runtime/tokenizer.ts';
import { ggufTokenizer } from '../stdlib/gguf/tokenizer.ts';

const hex = (b: number): string => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`;
const bytes = Array.from({ length: 256 }, (_, b) => hex(b));
const special = ['<unk>', '<s>', '</s>'];

interface Vocabulary {
  readonly tokens: readonly string[];
  readonly scores: readonly number[];
  readonly types: readonly number[];
}

/** Special tokens, bytes, `words` with falling scores, the letters they are made of last. */
function vocabularyOf(words: readonly string[], letters: string): Vocabulary {
  const normal = [...new Set([...words, ...letters])];
  const tokens = [...special, ...bytes, ...normal];
  return {
    tokens,
    scores: tokens.map((_, id) => (id < special.length + 256 ? 0 : special.length + 256 - id)),
    types: tokens.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1)),
  };
}

function tokenizerOf(v: Vocabulary, more: Readonly<Record<string, GgufValue>> = {}) {
  const metadata = {
    model: 'llama',
    tokens: v.tokens,
    scores: v.scores,
    token_type: v.types,
    ...more,
  };
  const files = ggufTokenizer(
    'x.gguf',
    new Map(Object.entries(metadata).map(([k, value]) => [`tokenizer.ggml.${k}`, value])),
  );
  return makeTokenizer({
    tokenizer: files.get('tokenizer.json') ?? '',
    config: files.get('tokenizer_config.json'),
    chatTemplate: undefined,
    bos: 1,
  });
}

/** The pair that makes the token of the best score is merged, of equal ones the leftmost, until none does. */
function encoded(v: Vocabulary, text: string): readonly number[] {
  let parts = [...` ${text}`.replaceAll(' ', '▁')];
  const idOf = (t: string): number => v.tokens.indexOf(t, special.length + 256);
  for (;;) {
    let [best, score] = [-1, -Infinity];
    for (let i = 0; i + 1 < parts.length; i++) {
      const id = idOf(`${parts[i]}${parts[i + 1]}`);
      const own = v.scores[id] ?? -Infinity;
      if (id >= 0 && own > score) [best, score] = [i, own];
    }
    if (best < 0) break;
    parts = parts.flatMap((p, i) => (i === best ? [p + (parts[i + 1] ?? '')] : i === best + 1 ? [] : [p])); // prettier-ignore
  }
  return parts.flatMap((p) => {
    const id = idOf(p);
    return id >= 0 ? [id] : [...Buffer.from(p)].map((b) => special.length + b);
  });
}

// No word is made of two pairs that overlap: there Hugging Face's tokenizers do not take the leftmost.
const english = vocabularyOf(
  ['▁t', 'he', '▁a', 'in', '▁the', 're', 'on', '▁w', 'er', 'it', 'nd', 'at', '▁o', 'ou', 'ing', '▁and', '▁wh', 'is', '▁in', '▁re', 'ver', 'ater', '▁water', '▁▁', '▁▁▁▁'],
  '▁etaoinshrdlucmfwypvbgkqjxz',
); // prettier-ignore

test('texts encode as scores say, bytes where there is no token, and decode to what they were', () => {
  const found = tokenizerOf(english);
  const same = (text: string): void => {
    const ids = found.encode(text, { special: false });
    expect(ids).toEqual(text === '' ? [] : encoded(english, text));
    expect(found.decode(ids)).toBe(text);
  };
  for (const text of ['', 'the water and the rest', ' in  here', 'Über 5 £', 'a\nb\t', 'wherever']) same(text); // prettier-ignore
  const words = fc.array(fc.constantFrom('the ', 'and', 'water', 'ing', ' ', 're', 'in', 'x', 'é', '漢', '😀', '1'), { maxLength: 20 }).map((w) => w.join('')); // prettier-ignore
  fc.assert(fc.property(words, same), { numRuns: 300 });
  fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 30 }), same), { numRuns: 300 });
});

test('random scores', () => {
  const parts = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'd', '▁'), minLength: 2, maxLength: 2 }); // prettier-ignore
  // Of two letters each: no token is made in two ways.
  const any = fc.uniqueArray(parts, { minLength: 1, maxLength: 15 });
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'd', ' '), maxLength: 40 });
  const property = fc.property(any, text, (words, t) => {
    const v = vocabularyOf(words, '▁abcd');
    const ids = tokenizerOf(v).encode(t, { special: false });
    expect(ids).toEqual(t === '' ? [] : encoded(v, t));
  });
  fc.assert(property, { numRuns: 200 });
});

test('a text begins with <s> unless the file says no, and with a space unless it says no', () => {
  const water = english.tokens.indexOf('▁water');
  expect(tokenizerOf(english).encode('water')).toEqual([1, water]);
  expect(tokenizerOf(english, { add_bos_token: false }).encode('water')).toEqual([water]);
  const bare = tokenizerOf(english, { add_space_prefix: false });
  const ids = ['w', 'ater'].map((t) => english.tokens.indexOf(t));
  expect(bare.encode('water')).toEqual([1, ...ids]);
  expect(bare.encode(' water')).toEqual([1, water]);
  expect(bare.decode([water])).toBe(' water');
  expect(tokenizerOf(english, { add_eos_token: true }).encode('water')).toEqual([1, water, 2]);
});

test('words of the user and control tokens are cut out first', () => {
  const v = { ...english, tokens: [...english.tokens, '<|me|>'], scores: [...english.scores, -1000], types: [...english.types, 4] }; // prettier-ignore
  const water = english.tokens.indexOf('▁water');
  const found = tokenizerOf(v);
  expect(found.encode('water<|me|>water</s>', { special: false })).toEqual([water, v.tokens.length - 1, water, 2]); // prettier-ignore
});

test('what streams is what decodes', () => {
  const found = tokenizerOf(english);
  const text = 'the wherever, 漢字 é';
  const stream = found.stream();
  const ids = found.encode(text, { special: false });
  expect(ids.map((id) => stream.push(id)).join('') + stream.end()).toBe(text);
});

describe('errors', () => {
  test.each<[string, Readonly<Record<string, GgufValue>>, RegExp]>([
    ['no scores', { scores: 'x' }, /scores is no list/],
    ['too few', { scores: [1] }, /scores is no list with a number for each token/],
    [
      'a token without end',
      {
        tokens: english.tokens.map((t) =>
          t === 'water' ? 'x' : t === '▁water' ? 'x'.repeat(1e6) : t,
        ),
      },
      /a token of 1000000 characters; at most 512/,
    ],
    ['no unknown', { unknown_token_id: 1e9 }, /unknown_token_id is no token/],
  ])('%s', (_, more, message) => {
    expect(() => tokenizerOf(english, more)).toThrow(CheckpointError);
    expect(() => tokenizerOf(english, more)).toThrow(message);
  });
});
