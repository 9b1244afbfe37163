/** The random GGUF files of the benchmark: read back, with weights of the right size. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  type GgufShape,
  blockNames,
  firstByte,
  ggufShapes,
  ggufTensors,
  makeGguf,
} from '../bench/gguf-random.ts';
import {
  type NumberFormat,
  bf16Format,
  f16Format,
  valueOf,
} from '../compiler/base/number-format.ts';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import { readGguf } from '../compiler/8-bundle/gguf.ts';
import { decodeMatrix } from '../compiler/scalar/quantise.ts';
import { makeTokenizer } from '../runtime/tokenizer.ts';
import { ggufTokenizer } from '../stdlib/gguf/tokenizer.ts';
import { ggmlTypes } from '../stdlib/index.ts';

const cache = mkdtempSync(join(tmpdir(), 'gguf-random-'));
afterAll(() => {
  rmSync(cache, { recursive: true });
});

const dense: GgufShape = {
  name: 'dense',
  architecture: 'llama',
  vocab: 300,
  width: 256,
  inner: 512,
  depth: 1,
  heads: 4,
  kvHeads: 2,
  head: 64,
  context: 128,
};
const mixture: GgufShape = {
  ...dense,
  name: 'mixture',
  architecture: 'qwen3moe',
  experts: { count: 2, used: 1 },
};

const halves = (bytes: Buffer, format: NumberFormat): Float64Array =>
  Float64Array.from({ length: bytes.length / 2 }, (_, i) => valueOf(format, bytes.readUInt16LE(2 * i))); // prettier-ignore

describe.each(blockNames)('%s', (type) => {
  test.each([dense, mixture])(
    '$name: weights of mean 0 and variance 1 / inner size',
    async (shape) => {
      const path = await makeGguf(shape, type, cache);
      const bytes = readFileSync(path);
      const { metadata, tensors } = await readGguf(nodeFiles, path, ggmlTypes);
      expect(metadata.get('general.architecture')).toBe(shape.architecture);
      expect(metadata.get('tokenizer.ggml.tokens')).toHaveLength(shape.vocab);
      expect(metadata.get('tokenizer.ggml.token_type')).toHaveLength(shape.vocab);
      const wanted = ggufTensors(shape, type);
      expect([...tensors.keys()]).toEqual(wanted.map((t) => t.name));
      for (const { name, shape: dims, kind } of wanted) {
        const t = tensors.get(name);
        if (t === undefined) throw new Error(name);
        expect(t.shape).toEqual(dims);
        if (kind === 'F32') continue;
        const data = bytes.subarray(t.offset, t.offset + t.bytes);
        const k = dims.at(-1) ?? 0;
        const n = dims.reduce((a, b) => a * b, 1) / k;
        const values =
          t.scheme === undefined
            ? halves(data, kind === 'F16' ? f16Format : bf16Format)
            : decodeMatrix(t.scheme, { blocks: data }, { n, k });
        const mean = values.reduce((a, b) => a + b, 0) / values.length;
        const square = values.reduce((a, b) => a + b * b, 0) / values.length;
        // Over 32768 weights or more; the sign of a block of 32 moves the mean of all by under 1 %.
        expect(Math.abs(mean) * Math.sqrt(k)).toBeLessThan(0.03);
        expect(Math.abs(square * k - 1)).toBeLessThan(0.04);
        // No two rows are alike.
        expect(values.slice(0, k)).not.toEqual(values.slice(k, 2 * k));
      }
    },
  );
});

test.each([dense, mixture])(
  '$name: a text without small letters is one token a byte, words of them are merged',
  async (shape) => {
    const path = await makeGguf({ ...shape, vocab: 1000 }, 'Q4_0', cache);
    const files = ggufTokenizer(path, (await readGguf(nodeFiles, path, ggmlTypes)).metadata);
    const text = (name: string): string | undefined => files.get(name);
    const tokenizer = makeTokenizer({
      tokenizer: text('tokenizer.json') ?? '',
      config: text('tokenizer_config.json'),
      chatTemplate: undefined,
      bos: 1,
    });
    const input = 'A LINE: 0123, É';
    const bytes = [...Buffer.from(input)].map((b) => firstByte + b);
    expect(tokenizer.encode(input)).toEqual([1, ...bytes]);
    expect(tokenizer.decode(bytes)).toBe(input);
    // `ab` is the second merge.
    expect(tokenizer.encode('ab')).toEqual([1, firstByte + 256 + 1]);
  },
);

test('norms are around one, routers small', async () => {
  const path = await makeGguf(mixture, 'Q4_0', cache);
  const bytes = readFileSync(path);
  const { tensors } = await readGguf(nodeFiles, path, ggmlTypes);
  const values = (name: string): readonly number[] => {
    const t = tensors.get(name);
    if (t === undefined) throw new Error(name);
    return Array.from({ length: t.bytes / 4 }, (_, i) => bytes.readFloatLE(t.offset + 4 * i));
  };
  for (const x of values('blk.0.ffn_norm.weight')) expect(Math.abs(x - 1)).toBeLessThanOrEqual(0.1);
  const router = values('blk.0.ffn_gate_inp.weight');
  const square = router.reduce((a, b) => a + b * b, 0) / router.length;
  expect(Math.abs(square * mixture.width - 1)).toBeLessThan(0.2);
});

test('the same shape and type are the same bytes, and a file that is there is kept', async () => {
  const again = mkdtempSync(join(tmpdir(), 'gguf-random-'));
  try {
    const first = await makeGguf(dense, 'Q4_0', cache);
    const second = await makeGguf(dense, 'Q4_0', again);
    expect(readFileSync(first).equals(readFileSync(second))).toBe(true);
    expect(await makeGguf(dense, 'Q4_0', again)).toBe(second);
    expect(await makeGguf({ ...dense, vocab: 320 }, 'Q4_0', again)).not.toBe(second);
  } finally {
    rmSync(again, { recursive: true });
  }
});

test('the shapes of the benchmark are those of the models', () => {
  const bytes = (name: string): number => {
    const shape = ggufShapes.find((s) => s.name === name);
    if (shape === undefined) throw new Error(name);
    return ggufTensors(shape, 'Q4_0').reduce((sum, t) => sum + t.byteLength, 0);
  };
  // 1.2358 billion parameters of 4.5 bits.
  expect(bytes('llama-1b') / 1e9).toBeCloseTo(0.695, 2);
  expect(bytes('qwen3moe-2gb') / 1e9).toBeGreaterThan(1.9);
  expect(bytes('qwen3moe-2gb') / 1e9).toBeLessThan(2.1);
});

test('rows that are not whole blocks are refused', () => {
  expect(() => ggufTensors({ ...dense, inner: 288 }, 'Q4_K')).toThrow('whole blocks');
});
