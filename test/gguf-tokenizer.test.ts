/** Tokenizers that went through a GGUF file encode as those they were made of. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeConsole } from '../compiler/cli/console.ts';
import { openModel } from '../compiler/cli/open.ts';
import { CheckpointError } from '../compiler/index.ts';
import { makeTokenizer } from '../runtime/tokenizer.ts';
import { ggufTokenizer } from '../stdlib/gguf/tokenizer.ts';
import { readGguf } from '../compiler/8-bundle/gguf.ts';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import { ggmlTypes } from '../stdlib/index.ts';
import { type Meta, writeGguf } from './helpers/gguf.ts';
import { ggufOfFolder } from './helpers/gguf-of-folder.ts';
import { example, fixture, readJson } from './helpers/golden.ts';
import { temporaryFolder } from './helpers/models.ts';

interface TokenizerJson {
  readonly model: { readonly vocab: Record<string, number>; readonly merges: readonly [string, string][] }; // prettier-ignore
  readonly added_tokens: readonly { readonly id: number }[];
}

const folder = example('bard/weights');
const json = readJson(join(folder, 'tokenizer.json')) as TokenizerJson;
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
const known = makeTokenizer({
  tokenizer: read('tokenizer.json'),
  config: read('tokenizer_config.json'),
  chatTemplate: undefined,
  bos: 0,
});

function metadataOf(pre: string, more: Readonly<Record<string, Meta>> = {}) {
  const vocab = Object.entries(json.model.vocab).sort((a, b) => a[1] - b[1]);
  const added = new Set(json.added_tokens.map((t) => t.id));
  return {
    'tokenizer.ggml.model': { text: 'gpt2' },
    'tokenizer.ggml.pre': { text: pre },
    'tokenizer.ggml.tokens': { texts: vocab.map(([t]) => t) },
    'tokenizer.ggml.token_type': { i32s: vocab.map(([, id]) => (added.has(id) ? 3 : 1)) },
    'tokenizer.ggml.merges': { texts: json.model.merges.map((m) => m.join(' ')) },
    'tokenizer.ggml.bos_token_id': { u32: 0 },
    'tokenizer.ggml.eos_token_id': { u32: 1 },
    'tokenizer.ggml.add_bos_token': { bool: true },
    ...more,
  } satisfies Readonly<Record<string, Meta>>;
}

async function throughFile(metadata: Readonly<Record<string, Meta>>) {
  const path = join(temporaryFolder(), 'x.gguf');
  writeFileSync(path, writeGguf({ metadata, tensors: [] }));
  const files = ggufTokenizer(path, (await readGguf(nodeFiles, path, ggmlTypes)).metadata);
  return makeTokenizer({
    tokenizer: files.get('tokenizer.json') ?? '',
    config: files.get('tokenizer_config.json'),
    chatTemplate: files.get('chat_template.jinja'),
    bos: 0,
  });
}

test('much text encodes as before, and decodes', async () => {
  const found = await throughFile(metadataOf('gpt-2'));
  const same = (text: string): void => {
    expect(found.encode(text)).toEqual(known.encode(text));
    expect(found.encode(text, { special: false })).toEqual(known.encode(text, { special: false }));
    expect(found.decode(known.encode(text))).toEqual(known.decode(known.encode(text)));
  };
  same(readFileSync(join(folder, 'tokenizer.json'), 'utf8').slice(0, 20_000));
  same('To be, or not to be <|eos|> that is <|bos|>');
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 60 }), same), { numRuns: 300 });
  fc.assert(fc.property(fc.lorem({ maxCount: 30 }), same), { numRuns: 100 });
});

test.each<[string, readonly string[]]>([
  ['gpt-2', ['1234']],
  ['llama-bpe', ['123', '4']],
  ['qwen2', ['1', '2', '3', '4']],
])('digits stay together as %s says', async (pre, pieces) => {
  const texts = ['<s>', '</s>', '1', '2', '3', '4', '12', '123', '1234'];
  const found = await throughFile(
    metadataOf(pre, {
      'tokenizer.ggml.tokens': { texts },
      'tokenizer.ggml.token_type': { i32s: texts.map((_, i) => (i < 2 ? 3 : 1)) },
      'tokenizer.ggml.merges': { texts: ['1 2', '12 3', '123 4'] },
    }),
  );
  const ids = pieces.map((t) => texts.indexOf(t));
  expect(found.encode('1234', { special: false })).toEqual(ids);
  expect(found.encode('1234')).toEqual([0, ...ids]);
});

/** The pieces that a text is cut into: whatever is in one piece merges to one token. */
async function piecesOf(pre: string, text: string): Promise<readonly string[]> {
  const bytes = [...Buffer.from(text)].map((b) => byteLetters[b] ?? '');
  const tokens = new Set([...byteLetters, '<s>', '</s>']);
  const merges: string[] = [];
  for (let length = 2; length <= bytes.length; length++) {
    for (let from = 0; from + length <= bytes.length; from++) {
      const part = bytes.slice(from, from + length);
      tokens.add(part.join(''));
      for (let at = 1; at < length; at++) {
        merges.push(`${part.slice(0, at).join('')} ${part.slice(at).join('')}`);
      }
    }
  }
  const texts = [...tokens];
  const metadata = metadataOf(pre, {
    'tokenizer.ggml.tokens': { texts },
    'tokenizer.ggml.token_type': { i32s: texts.map((t) => (t.length > 1 && t.endsWith('s>') ? 3 : 1)) },
    'tokenizer.ggml.merges': { texts: merges },
  }); // prettier-ignore
  const found = await throughFile(metadata);
  return found.encode(text, { special: false }).map((id) => found.decode([id]));
}

/** The letters of GPT-2 for bytes: those that print stand for themselves. */
const byteLetters = Array.from({ length: 256 }, (_, b) => b)
  .map((b) => ((b > 32 && b < 127) || (b > 160 && b !== 173) ? b : -1))
  .map((b, i, all) => String.fromCharCode(b >= 0 ? b : 256 + all.slice(0, i).filter((x) => x < 0).length)); // prettier-ignore

test.each<[string, string, readonly string[]]>([
  ['gpt-2', "I'm 123  up", ['I', "'m", ' 123', ' ', ' up']],
  ['llama-bpe', "I'M 12345 up\n\n  x", ['I', "'M", ' ', '123', '45', ' up', '\n\n', ' ', ' x']],
  ['dbrx', '(ab) 1234', ['(ab', ')', ' ', '123', '4']],
  ['qwen2', '(ab) 12!', ['(ab', ')', ' ', '1', '2', '!']],
  ['stablelm2', 'a 12', ['a', ' ', '1', '2']],
  ['smollm', 'a 12 b', ['a', ' ', '1', '2', ' b']],
  ['deepseek-llm', 'ab1 Hi, 12\nx', ['ab', '1', ' Hi', ',', ' ', '12', '\n', 'x']],
  ['deepseek-llm', 'а你好 x', ['а', '你好', ' x']],
  ['deepseek-coder', 'ab 12, x', ['ab', ' ', '1', '2', ',', ' x']],
  ['deepseek-v3', "don't (x) 12345", ['don', "'t", ' (', 'x', ')', ' ', '123', '45']],
  ['deepseek-v3', 'x你好', ['x', '你好']],
  ['tekken', 'HelloWorld ABCdef 12', ['Hello', 'World', ' ABCdef', ' ', '1', '2']],
  ['tekken', "it's//\n", ['it', "'s", '//\n']],
  ['gpt-4o', "it's AB 1234", ["it's", ' AB', ' ', '123', '4']],
])('%s cuts %j', async (pre, text, pieces) => {
  expect(await piecesOf(pre, text)).toEqual(pieces);
});

test('a chat template, and no token at the beginning where the file says so', async () => {
  const found = await throughFile(
    metadataOf('qwen2', {
      'tokenizer.ggml.add_bos_token': { bool: false },
      'tokenizer.chat_template': { text: '{% for m in messages %}[{{ m.content }}]{% endfor %}' },
    }),
  );
  expect(found.encode('thou')[0]).not.toBe(0);
  expect(await found.chat([{ role: 'user', content: 'ho' }])).toBe('[ho]');
});

test.each(['reference', 'wasm'])('a model in one file generates text on %s', async (target) => {
  const file = await ggufOfFolder(fixture('goldens/qwen3'), 0);
  const texts = Array.from({ length: 320 }, (_, i) => Object.keys(json.model.vocab)[i] ?? '');
  const path = join(temporaryFolder(), 'model.gguf');
  const own = metadataOf('gpt-2', {
    'tokenizer.ggml.tokens': { texts },
    'tokenizer.ggml.token_type': { i32s: texts.map((_, i) => (i < 2 ? 3 : 1)) },
    'tokenizer.ggml.merges': { texts: [] },
  });
  writeFileSync(path, writeGguf({ ...file, metadata: { ...file.metadata, ...own } }));
  const model = await openModel(path, { threads: 1, target }, makeConsole({ quiet: true }));
  let count = 0;
  for await (const part of model.generate('thou', { maxTokens: 4, temperature: 0, ignoreEos: true }))
    count += part.ids.length; // prettier-ignore
  model.close();
  expect(count).toBe(4);
});

describe('errors', () => {
  test.each<[string, Readonly<Record<string, Meta>>, RegExp]>([
    ['kind', { 'tokenizer.ggml.model': { text: 'bert' } }, /bert; gpt2 and llama are read/],
    ['pre', { 'tokenizer.ggml.pre': { text: 'bloom' } }, /bloom, none of gpt-2, .*llama-bpe/],
    ['tokens', { 'tokenizer.ggml.tokens': { u32: 1 } }, /tokens is no list/],
    ['twice', { 'tokenizer.ggml.tokens': { texts: ['a', 'a'] } }, /twice/],
    ['merge', { 'tokenizer.ggml.merges': { texts: ['ab'] } }, /no pair/],
    ['bos', { 'tokenizer.ggml.bos_token_id': { u32: 1e6 } }, /bos_token_id is no token/],
    ['types', { 'tokenizer.ggml.token_type': { i32s: [1] } }, /token_type/],
  ])('%s', async (_, more, message) => {
    const opened = throughFile(metadataOf('gpt-2', more));
    await expect(opened).rejects.toBeInstanceOf(CheckpointError);
    await expect(opened).rejects.toThrow(message);
  });
});
