/** GGUF files: what is read of good ones, and the errors of damaged ones. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import { CheckpointError } from '../compiler/index.ts';
import type { Files } from '../compiler/8-bundle/files.ts';
import { readGguf } from '../compiler/8-bundle/gguf.ts';
import { decodeMatrix } from '../compiler/scalar/quantise.ts';
import { ggmlTypes, q8_0 } from '../stdlib/index.ts';
import { type GgufTensor, type Meta, writeGguf } from './helpers/gguf.ts';

/** One file of these bytes; reads past its end are the reader's mistake. */
const fileOf = (bytes: Uint8Array): Files => ({
  ...nodeFiles,
  size: () => Promise.resolve(bytes.byteLength),
  read: (_, from, length) => {
    if (from + length > bytes.byteLength) throw new Error('read past the end');
    return Promise.resolve(bytes.subarray(from, from + length));
  },
});
const read = (bytes: Uint8Array) => readGguf(fileOf(bytes), 'x.gguf', ggmlTypes);
const outcome = (bytes: Uint8Array): Promise<unknown> =>
  read(bytes).then(
    () => undefined,
    (e: unknown) => e,
  );

const plain = (name: string, shape: readonly number[]): GgufTensor => ({
  name,
  type: 0,
  shape,
  bytes: new Uint8Array(4 * shape.reduce((a, b) => a * b, 1)).fill(7),
});
const metadata: Readonly<Record<string, Meta>> = {
  'general.architecture': { text: 'llama' },
  count: { u32: 7 },
  long: { u64: 2n ** 63n },
  short: { u64: 5n },
  real: { f32: 0.5 },
  yes: { bool: true },
  words: { texts: ['a', '', 'é'] },
  scores: { f32s: [1, -2] },
  kinds: { i32s: [3, -1] },
};
const good = writeGguf({ metadata, tensors: [plain('a', [3]), plain('b', [2, 5])] });

/** `bytes` with a little-endian number of `size` bytes put where `after` ends. */
function patched(bytes: Uint8Array, after: string, skip: number, size: 4 | 8, n: bigint) {
  const out = Buffer.from(bytes);
  const at = out.indexOf(after) + after.length + skip;
  if (size === 4) out.writeUInt32LE(Number(n), at);
  else out.writeBigUInt64LE(n, at);
  return out;
}

test.each([2, 3])('version %i: metadata of every kind, tensors by name', async (version) => {
  const bytes = writeGguf({
    metadata,
    tensors: [plain('a', [3]), plain('b', [2, 5])],
    version,
  });
  const { metadata: found, tensors } = await read(bytes);
  expect(Object.fromEntries(found)).toEqual({
    'general.architecture': 'llama',
    count: 7,
    long: 2n ** 63n,
    short: 5,
    real: 0.5,
    yes: true,
    words: ['a', '', 'é'],
    scores: [1, -2],
    kinds: [3, -1],
  });
  expect([...tensors.keys()]).toEqual(['a', 'b']);
  const b = tensors.get('b');
  expect(b).toMatchObject({ dtype: 'F32', shape: [2, 5], bytes: 40 });
  expect(bytes.subarray(b?.offset, (b?.offset ?? 0) + 40)).toEqual(Buffer.alloc(40, 7));
});

test('a header longer than the first read', async () => {
  const words = Array.from({ length: 200_000 }, (_, i) => `word ${i}`);
  const bytes = writeGguf({ metadata: { words: { texts: words } }, tensors: [plain('a', [8])] });
  const { metadata: found, tensors } = await read(bytes);
  expect(found.get('words')).toEqual(words);
  expect(tensors.get('a')?.shape).toEqual([8]);
});

test('blocks have their scheme, and decode', async () => {
  // Seed 1 of the reference quantiser's golden vectors.
  const hex = 'cc1fbbde01368ade480f8125beec1859ba7e5fd33008b5988fd09f3616e0c24271ab';
  const block = Buffer.from(hex, 'hex');
  const bytes = writeGguf({
    metadata: {},
    tensors: [{ name: 'q', type: 8, shape: [2, 32], bytes: Buffer.concat([block, block]) }],
  });
  const t = (await read(bytes)).tensors.get('q');
  expect(t).toMatchObject({ dtype: 'F32', shape: [2, 32], bytes: 68, scheme: q8_0 });
  const blocks = bytes.subarray(t?.offset, (t?.offset ?? 0) + 68);
  const numbers = decodeMatrix(q8_0, { blocks }, { n: 2, k: 32 });
  expect(Math.abs((numbers[0] ?? 0) + 0.527089)).toBeLessThan(0.004);
  expect(numbers.slice(32)).toEqual(numbers.slice(0, 32));
});

describe('damage', () => {
  const swapped = Buffer.from(good);
  swapped.writeUInt32BE(3, 4);
  const twice = writeGguf({ metadata: {}, tensors: [plain('a', [8]), plain('a', [8])] });
  const pair = writeGguf({ metadata: {}, tensors: [plain('aa', [8]), plain('bb', [8])] });
  const offsetOf = { skip: 4 + 8 + 4, size: 8 } as const;
  test.each<[string, Uint8Array, string]>([
    ['no bytes', good.subarray(0, 0), 'truncated'],
    ['another file', Buffer.alloc(64, 1), 'header'],
    ['version 1', writeGguf({ metadata: {}, tensors: [], version: 1 }), 'version'],
    ['big endian', swapped, 'version'],
    ['a cut header', good.subarray(0, 100), 'truncated'],
    ['cut data', good.subarray(0, good.length - 32), 'truncated'],
    ['data left over', Buffer.concat([good, Buffer.alloc(32)]), 'trailing'],
    ['a tensor twice', twice, 'duplicate'],
    ['an unknown type of metadata', patched(good, 'count', 0, 4, 13n), 'header'],
    ['an absurd text', patched(good, 'general.architecture', 4, 8, 2n ** 60n), 'header'],
    ['an absurd array', patched(good, 'words', 8, 8, 2n ** 40n), 'header'],
    ['an array longer than the file', patched(good, 'words', 8, 8, 1000n), 'truncated'],
    ['five axes', patched(pair, 'aa', 0, 4, 5n), 'shape'],
    ['an absurd axis', patched(pair, 'aa', 4, 8, 2n ** 62n), 'header'],
    ['more elements than bytes', patched(pair, 'aa', 4, 8, 2n ** 50n), 'truncated'],
    ['an unknown type', patched(pair, 'aa', 12, 4, 99n), 'type'],
    ['rows of no whole blocks', patched(pair, 'aa', 12, 4, 8n), 'shape'],
    ['an offset off the alignment', patched(pair, 'bb', offsetOf.skip, offsetOf.size, 33n), 'offsets'],
    ['overlap', patched(pair, 'bb', offsetOf.skip, offsetOf.size, 0n), 'overlap'],
    ['a gap', patched(pair, 'bb', offsetOf.skip, offsetOf.size, 64n), 'gap'],
  ])('%s', async (_, bytes, code) => {
    const error = await outcome(bytes);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({ code: `checkpoint/${code}` });
  }); // prettier-ignore

  test('no mutation gets past with anything but a CheckpointError', async () => {
    const byte = fc.record({ at: fc.nat(good.length - 1), value: fc.nat(255) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(byte, { minLength: 1, maxLength: 4 }),
        fc.oneof(fc.constant(good.length), fc.nat(good.length)),
        async (bytes, cut) => {
          const copy = good.slice();
          for (const { at, value } of bytes) copy[at] = value;
          const error = await outcome(copy.subarray(0, cut));
          expect(error === undefined || error instanceof CheckpointError).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('what is written is read', async () => {
    const name = fc.stringMatching(/^[a-z0-9._]{1,40}$/);
    const shape = fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 4 });
    const tensors = fc.uniqueArray(fc.record({ name, shape }), { selector: (t) => t.name });
    const texts = fc.dictionary(name, fc.string({ unit: 'binary' }));
    await fc.assert(
      fc.asyncProperty(tensors, texts, async (wanted, meta) => {
        const found = await read(
          writeGguf({
            metadata: Object.fromEntries(
              Object.entries(meta)
                .filter(([k]) => k !== 'general.alignment')
                .map(([k, text]) => [k, { text }]),
            ),
            tensors: wanted.map((t) => plain(t.name, t.shape)),
          }),
        );
        expect([...found.metadata]).toEqual(Object.entries(meta));
        expect([...found.tensors].map(([n, t]) => ({ name: n, shape: t.shape }))).toEqual(wanted);
      }),
      { numRuns: 200 },
    );
  });
});
