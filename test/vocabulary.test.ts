/** A bundle's vocabulary as arrays: the same ids and texts as the tokenizer's JSON gives. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import bard from '../examples/bard/model.ts';
import { splitTokenizer } from '../compiler/8-bundle/vocabulary.ts';
import { present } from '../compiler/base/invariant.ts';
import { type Tokenizer, makeTokenizer } from '../runtime/tokenizer.ts';
import { openVocabulary } from '../runtime/vocabulary.ts';
import { example } from './helpers/golden.ts';
import { bundleOf } from './helpers/models.ts';
import { manifestOf } from './helpers/native-bundle.ts';
import { makeRandom } from './helpers/random.ts';

const valid = readFileSync(join(import.meta.dirname, 'fixtures/valid.txt'), 'utf8');
const pieces = [
  ...valid.match(/[^\n]*\n/g)!.slice(0, 200),
  'Ünïcödé – 東京タワー, “quotes” … 🤖👩‍👩‍👧 \u0000\uFFFD x\u0301',
  '   \t\n\n  spaces   and\r\nlines ',
  '1234567890 3.14159e-10 0xFF',
  "it's we'll they're I'd DON'T",
  'a'.repeat(3000),
  'ab'.repeat(40) + ' ' + 'ba'.repeat(40),
  '<|end|><|pad|> <|end|>text<|end|>',
  '\uFEFFbyte order',
];

const settings = { config: '{}', chatTemplate: undefined, bos: undefined };

function both(json: string): readonly [Tokenizer, Tokenizer] {
  const { rules, vocabulary } = present(splitTokenizer(json));
  expect(rules.length).toBeLessThan(json.length);
  return [
    makeTokenizer({ tokenizer: json, ...settings }),
    makeTokenizer({ tokenizer: rules, vocabulary, ...settings }),
  ];
}

function agree(json: string): void {
  const [plain, compact] = both(json);
  for (const text of pieces) {
    const wanted = plain.encode(text);
    expect(compact.encode(text), text.slice(0, 60)).toEqual(wanted);
    if (wanted.length > 0) expect(compact.decode(wanted)).toBe(plain.decode(wanted));
  }
  // Once more, now that words are known.
  expect(compact.encode(valid.slice(0, 5000))).toEqual(plain.encode(valid.slice(0, 5000)));
  const ids = Array.from({ length: 400 }, (_, i) => i);
  expect(ids.map((id) => compact.decode([id]))).toEqual(ids.map((id) => plain.decode([id])));
}

interface Shape {
  readonly letters: readonly string[];
  readonly tokens: number;
  readonly seed: number;
}

/** A vocabulary of letters and tokens that are two earlier ones each, as training makes them. */
function randomModel({ letters, tokens, seed }: Shape) {
  const random = makeRandom(seed);
  const texts = [...letters];
  const known = new Set(texts);
  const merges: [string, string][] = [];
  while (texts.length < tokens) {
    const pick = (): string => texts[Math.floor(random.real() ** 2 * texts.length)] ?? '';
    const [left, right] = [pick(), pick()];
    if (known.has(left + right) || left.length + right.length > 12) continue;
    known.add(left + right);
    texts.push(left + right);
    merges.push([left, right]);
  }
  return { vocab: Object.fromEntries(texts.map((t, i) => [t, i + 3])), merges };
}

const added = (content: string, id: number) => ({
  ...{ id, content, single_word: false, lstrip: false, rstrip: false },
  ...{ normalized: false, special: true },
});
const common = { version: '1.0', truncation: null, padding: null, post_processor: null };
const tail = { dropout: null, continuing_subword_prefix: null, end_of_word_suffix: null };
const ascii = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));
const byteLetters = [...ascii.slice(1), ...Array.from({ length: 163 }, (_, i) => String.fromCharCode(i < 68 ? 256 + i : 93 + i))]; // prettier-ignore

describe('a tokenizer without its vocabulary, and that as arrays', () => {
  test('of the bard', () => {
    agree(readFileSync(example('bard/weights/tokenizer.json'), 'utf8'));
  });

  test.each([true, false])('of bytes, cut as Llama 3 does; whole words first: %s', (whole) => {
    for (const seed of [1, 2, 3]) {
      const letters = [...new Set(byteLetters)];
      const { vocab, merges } = randomModel({ letters, tokens: 3000, seed });
      const split = {
        type: 'Split',
        pattern: { Regex: "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" }, // prettier-ignore
        behavior: 'Isolated',
        invert: false,
      };
      const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }; // prettier-ignore
      const model = { type: 'BPE', unk_token: null, fuse_unk: false, byte_fallback: false, ignore_merges: whole, ...tail }; // prettier-ignore
      agree(
        JSON.stringify({
          ...common,
          added_tokens: [added('<|end|>', 3003), added('<|pad|>', 3004), added('a', 40)],
          normalizer: null,
          pre_tokenizer: { type: 'Sequence', pretokenizers: [split, bytes] },
          decoder: bytes,
          model: { ...model, vocab, merges: merges.map((m) => m.join(' ')) },
        }),
      );
    }
  });

  test.each([
    ['bytes for letters it lacks', true, false],
    ['one unknown token for each', false, false],
    ['one unknown token for all that follow each other', false, true],
  ])('of characters, with %s', (_, fallback, fuse) => {
    const letters = [...ascii.slice(1).filter((c) => !'qz09'.includes(c)), '▁', 'é', '東'];
    const { vocab, merges } = randomModel({ letters, tokens: 1200, seed: 7 });
    const hex = (i: number): string => i.toString(16).toUpperCase().padStart(2, '0');
    const bytes = Array.from({ length: 256 }, (_, i) => [`<0x${hex(i)}>`, 1300 + i] as const);
    const model = { type: 'BPE', unk_token: '<unk>', fuse_unk: fuse, byte_fallback: fallback, ignore_merges: false, ...tail }; // prettier-ignore
    const own = { '<unk>': 0, '<s>': 1, '</s>': 2, ...vocab };
    agree(
      JSON.stringify({
        ...common,
        added_tokens: [added('<unk>', 0), added('<s>', 1), added('</s>', 2)],
        normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
        pre_tokenizer: null,
        decoder: {
          type: 'Sequence',
          decoders: [
            { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
            { type: 'ByteFallback' },
            { type: 'Fuse' },
          ],
        },
        model: {
          ...model,
          vocab: fallback ? { ...own, ...Object.fromEntries(bytes) } : own,
          merges,
        },
      }),
    );
  });
});

test('other tokenizers are left as they are', () => {
  const model = { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: [['a', 'b']] };
  const split = (change: object) =>
    splitTokenizer(JSON.stringify({ model: { ...model, ...change } }));
  expect(split({})).toBeDefined();
  for (const change of [
    { type: 'WordPiece' },
    { type: 'Unigram', vocab: [['a', 1]] },
    { end_of_word_suffix: '</w>' },
    { continuing_subword_prefix: '##' },
    { vocab: { a: 0, b: 0, ab: 2 } },
    { vocab: { a: 0, b: -1, ab: 2 } },
    { vocab: { a: 0, b: 1.5, ab: 2 } },
    { vocab: { '': 0, a: 1, b: 2, ab: 3 } },
    { vocab: { a: 0, b: 1, ab: 2, '\uD800': 3 } },
    { merges: [['b', 'a']] },
    { merges: ['ab'] },
    { merges: 'a b' },
  ]) {
    expect(split(change), JSON.stringify(change)).toBeUndefined();
  }
  expect(splitTokenizer('no JSON')).toBeUndefined();
});

test('a damaged vocabulary is an error', () => {
  const json = readFileSync(example('bard/weights/tokenizer.json'), 'utf8');
  const { vocabulary } = present(splitTokenizer(json));
  const damaged = (change: (bytes: Uint8Array) => Uint8Array) => () =>
    openVocabulary(change(vocabulary.slice()));
  const error = expect.objectContaining({ code: 'bundle/tokenizer' }) as Error;
  expect(damaged((b) => b)).not.toThrow();
  expect(damaged((b) => b.subarray(0, 12))).toThrow(error);
  expect(damaged((b) => b.subarray(0, -1))).toThrow(error);
  expect(damaged((b) => b.fill(0, 0, 4))).toThrow(error);
  expect(damaged((b) => b.fill(9, 4, 8))).toThrow(error);
  expect(damaged((b) => b.fill(255, 8, 12))).toThrow(error);
});

test('bytes at an odd place are read as well', () => {
  const json = readFileSync(example('bard/weights/tokenizer.json'), 'utf8');
  const { vocabulary } = present(splitTokenizer(json));
  const odd = new Uint8Array(vocabulary.byteLength + 1);
  odd.set(vocabulary, 1);
  const [a, b] = [vocabulary, odd.subarray(1)].map(openVocabulary);
  expect(b?.split('HAMLET')).toEqual(a?.split('HAMLET'));
  expect(a?.idOf(a.textOf(300) ?? '')).toBe(300);
});

test('a bundle has it', async () => {
  const { tokenizer } = manifestOf(await bundleOf(bard, example('bard/weights')));
  expect(tokenizer).toEqual({
    file: 'tokenizer.json',
    config: 'tokenizer_config.json',
    rules: 'tokenizer.rules.json',
    vocabulary: 'vocabulary.bin',
  });
});
