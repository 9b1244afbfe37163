/** Damaged files get an error of a documented class; no process crashes or hangs. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import { CheckpointError, Failure } from '../compiler/index.ts';
import type { Files } from '../compiler/8-bundle/files.ts';
import { readSafetensors } from '../compiler/8-bundle/safetensors.ts';
import { readGraph } from '../compiler/3-graph/read.ts';
import { readExpr } from '../compiler/scalar/read.ts';
import { BundleError, CographError, InputError, load } from '../runtime/index.ts';
import { readManifest } from '../runtime/validate.ts';
import { fixture } from './helpers/golden.ts';
import { bundleOf, familyModel, loadBundle, temporaryFolder } from './helpers/models.ts';

const llama = fixture('goldens/llama');
const bundle = bundleOf(familyModel(llama), llama);

/** One file of these bytes. */
const fileOf = (bytes: Uint8Array): Files => ({
  ...nodeFiles,
  size: () => Promise.resolve(bytes.byteLength),
  read: (_, from, length) => Promise.resolve(bytes.subarray(from, from + length)),
});

function safetensors(header: unknown, data = 0, text?: string): Uint8Array {
  const json = Buffer.from(text ?? JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(data)]);
}
const tensor = (from: number, to: number, shape = [(to - from) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [from, to],
});

describe('safetensors', () => {
  const read = (bytes: Uint8Array) => readSafetensors(fileOf(bytes), 'x.safetensors');

  test('a good file', async () => {
    const found = await read(safetensors({ a: tensor(0, 8), b: tensor(8, 12) }, 12));
    expect([...found.keys()]).toEqual(['a', 'b']);
  });

  test.each([
    ['empty', new Uint8Array(0), 'checkpoint/truncated'],
    ['a header longer than the file', safetensors({}).subarray(0, 9), 'checkpoint/truncated'],
    ['an absurd header length', new Uint8Array(64).fill(0xff), 'checkpoint/header'],
    ['no JSON', safetensors({}, 0, '{nonsense'), 'checkpoint/header'],
    ['data cut off', safetensors({ a: tensor(0, 8) }, 4), 'checkpoint/truncated'],
    ['data left over', safetensors({ a: tensor(0, 8) }, 16), 'checkpoint/trailing'],
    ['overlap', safetensors({ a: tensor(0, 8), b: tensor(4, 12) }, 12), 'checkpoint/overlap'],
    ['a gap', safetensors({ a: tensor(0, 8), b: tensor(12, 16) }, 16), 'checkpoint/gap'],
    ['a wrong size', safetensors({ a: tensor(0, 8, [3]) }, 8), 'checkpoint/size'],
    ['a negative size', safetensors({ a: tensor(0, 8, [-2]) }, 8), 'checkpoint/shape'],
    ['an absurd size', safetensors({ a: tensor(0, 8, [2 ** 40, 2 ** 40]) }, 8), 'checkpoint/size'],
    [
      'an unknown type',
      safetensors({ a: { ...tensor(0, 8), dtype: 'F31' } }, 8),
      'checkpoint/type',
    ],
    [
      'offsets that are none',
      safetensors({ a: { ...tensor(0, 8), data_offsets: [8, 0] } }, 8),
      'checkpoint/offsets',
    ],
    [
      'a tensor twice',
      safetensors(
        {},
        8,
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
      ),
      'checkpoint/duplicate',
    ],
  ])('%s', async (_, bytes, code) => {
    const error: unknown = await read(bytes).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({ code });
  });

  test('no mutation of a file gets past with anything but a CheckpointError', async () => {
    const good = safetensors({ a: tensor(0, 8), b: tensor(8, 24, [2, 2]) }, 24);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(good.length - 1),
        fc.nat(255),
        fc.nat(good.length),
        async (at, byte, cut) => {
          const bytes = good.slice();
          bytes[at] = byte;
          const error: unknown = await read(bytes.subarray(0, cut)).then(
            () => undefined,
            (e: unknown) => e,
          );
          expect(error === undefined || error instanceof CheckpointError).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('bundles', () => {
  const first = (list: unknown[]): object => list[0] as object;
  async function damaged(change: (folder: string, manifest: Record<string, unknown>) => void) {
    const folder = temporaryFolder();
    cpSync(await bundle, folder, { recursive: true });
    const file = join(folder, 'manifest.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    change(folder, manifest);
    writeFileSync(file, JSON.stringify(manifest));
    return load(folder, { threads: 1 }).catch((e: unknown) => e);
  }
  const shardOf = (m: Record<string, unknown>): string =>
    (m['weights'] as { shards: { file: string }[] }).shards[0]?.file ?? '';

  test.each<[string, string, Parameters<typeof damaged>[0]]>([
    [
      'a wrong hash',
      'bundle/hash',
      (folder, m) => {
        const file = join(folder, shardOf(m));
        const bytes = readFileSync(file);
        bytes[100] = (bytes[100] ?? 0) ^ 1;
        writeFileSync(file, bytes);
      },
    ],
    [
      'a shard cut off',
      'bundle/file',
      (folder, m) => {
        const file = join(folder, shardOf(m));
        writeFileSync(file, readFileSync(file).subarray(0, 1000));
      },
    ],
    ['a newer version', 'bundle/version', (_, m) => void (m['version'] = 99)],
    ['another format', 'bundle/manifest', (_, m) => void (m['format'] = 'zip')],
    [
      'a negative size',
      'bundle/manifest',
      (_, m) => void ((m['model'] as { vocab: number }).vocab = -1),
    ],
    [
      'an absurd size',
      'bundle/manifest',
      (_, m) => void ((m['cache'] as { bytesPerSlot: number }).bytesPerSlot = 1e300),
    ],
    [
      'a path that leaves the folder',
      'bundle/path',
      (_, m) => {
        (m['weights'] as { shards: { file: string }[] }).shards.forEach(
          (s) => (s.file = '../../secret'),
        );
      },
    ],
    [
      'an absolute path',
      'bundle/path',
      (_, m) => {
        (m['files'] as Record<string, unknown>)['/etc/passwd'] = {
          bytes: 1,
          sha256: '0'.repeat(64),
        };
      },
    ],
  ])('%s', async (_, code, change) => {
    const error = await damaged(change);
    expect(error).toBeInstanceOf(BundleError);
    expect(error).toMatchObject({ code });
  });

  /** The bundle's manifest with a native program, whose one variant `change` may alter. */
  async function withNative(change: (variants: unknown[], native: object) => void) {
    const text = readFileSync(join(await bundle, 'manifest.json'), 'utf8');
    const m = readManifest(text);
    const { wasm } = m.programs;
    if (!wasm) throw new Error('no program');
    const file = 'native/linux-avx2.so';
    const variants: unknown[] = [{ file, os: 'linux', isa: 'avx2' }];
    const native = { ...structuredClone(wasm), variants };
    change(variants, native);
    const files = { ...m.files, [file]: { bytes: 1, sha256: '0'.repeat(64) } };
    return JSON.stringify({ ...m, files, programs: { native } });
  }

  test('a native program is read, and refused where it cannot be', async () => {
    const { programs } = readManifest(await withNative(() => undefined));
    expect(programs.wasm).toBeUndefined();
    expect(programs.native?.variants).toEqual([
      { file: 'native/linux-avx2.so', os: 'linux', isa: 'avx2' },
    ]);
    const refused: [RegExp, Parameters<typeof withNative>[0]][] = [
      [
        /variants\[0\]\.os: expected one of linux, macos, windows/,
        (v) => (v[0] = { ...first(v), os: 'beos' }),
      ],
      [/variants\[0\]\.isa: expected one of/, (v) => (v[0] = { ...first(v), isa: 'mmx' })],
      [/files\.native\/other\.so/, (v) => (v[0] = { ...first(v), file: 'native/other.so' })],
      [/no path inside the bundle/, (v) => (v[0] = { ...first(v), file: '../step.so' })],
      [/one variant for linux, avx2/, (v) => v.push(first(v))],
      [/native\.limits\.rows: expected/, (_, n) => Object.assign(n, { limits: { tokens: 1 } })],
      [/native\.output: expected a place/, (_, n) => Object.assign(n, { arenaBytes: 1 })],
    ];
    for (const [message, change] of refused) {
      const json = await withNative(change);
      expect(() => readManifest(json)).toThrow(BundleError);
      expect(() => readManifest(json)).toThrow(message);
    }
  });

  test('no manifest of any JSON is taken, or fails but with a BundleError', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(() => readManifest(text)).toThrow(BundleError);
      }),
      { numRuns: 300 },
    );
  });

  test('a manifest with one value replaced is taken or refused by a BundleError', async () => {
    const text = readFileSync(join(await bundle, 'manifest.json'), 'utf8');
    const odd = fc.constantFrom<unknown>(null, -1, 0.5, 1e300, '', '../x', [], {}, true, 'x');
    const paths: string[][] = [];
    const walk = (v: unknown, path: string[]): void => {
      if (path.length > 0) paths.push(path);
      if (typeof v !== 'object' || v === null) return;
      Object.entries(v).forEach(([k, x]) => walk(x, [...path, k]));
    };
    walk(JSON.parse(text), []);
    fc.assert(
      fc.property(fc.constantFrom(...paths), odd, (path, value) => {
        const json = JSON.parse(text) as Record<string, unknown>;
        let at: Record<string, unknown> = json;
        path.slice(0, -1).forEach((k) => (at = at[k] as Record<string, unknown>));
        at[path.at(-1) ?? ''] = value;
        try {
          readManifest(JSON.stringify(json));
        } catch (e) {
          expect(e).toBeInstanceOf(BundleError);
        }
      }),
      { numRuns: 400 },
    );
  });
});

describe('requests', () => {
  test.each([
    [[1, 320], 'input/id'],
    [[-1], 'input/id'],
    [[1.5], 'input/id'],
    [[], 'input/empty'],
    [Array.from({ length: 257 }, () => 3), 'input/context'],
  ])('ids %j', async (ids, code) => {
    const model = await loadBundle(await bundle, { context: 256 });
    const all = (async () => {
      for await (const part of model.generate(ids)) void part;
    })();
    await expect(all).rejects.toBeInstanceOf(InputError);
    await expect(all).rejects.toMatchObject({ code });
    // Nothing is lost: the next request runs.
    expect(await model.logits([1, 2])).toHaveLength(2);
    model.close();
  });

  test('snapshots that are none', async () => {
    const model = await loadBundle(await bundle);
    const s = model.sequence();
    await s.append([1, 2, 3]);
    const good = await s.snapshot();
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), async (cut) => {
        await expect(model.restore(good.subarray(0, cut))).rejects.toThrow(CographError);
      }),
      { numRuns: 50 },
    );
    await expect(model.restore(new Uint8Array(100))).rejects.toThrow(BundleError);
    // Blocks of the first version lay otherwise, and have as many bytes.
    const earlier = good.slice();
    new DataView(earlier.buffer).setUint32(4, 1, true);
    await expect(model.restore(earlier)).rejects.toMatchObject({
      code: 'snapshot/format',
      message: 'the snapshot has version 1; this runtime reads 2',
    });
    expect((await model.restore(good)).ids).toEqual([1, 2, 3]);
    model.close();
  });
});

test('graph and expression readers fail with a Failure on any text', () => {
  const pieces = fc.constantFrom(
    'graph g {',
    '  %0: i32[t] = step ids',
    '  return %0',
    '}',
    '%1',
    '(',
    ')',
    ' = ',
    'loop 2 {',
    'x',
    '{a = [1, ;',
    '"',
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), fc.string(), (lines, tail) => {
      for (const read of [
        () => readGraph(lines.join('\n') + tail),
        () => readExpr(lines.join(' ') + tail, new Map([['x', 'i32']])),
      ]) {
        try {
          read();
        } catch (e) {
          expect(e).toBeInstanceOf(Failure);
        }
      }
    }),
    { numRuns: 500 },
  );
});
