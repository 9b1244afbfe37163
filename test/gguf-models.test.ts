/** Models in GGUF files: logits against the goldens of the same models in Hugging Face folders. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type OpenOptions, openModel } from '../compiler/cli/open.ts';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import { openReference, readWeights } from '../compiler/cli/reference-device.ts';
import { openReadable } from '../compiler/cli/subject.ts';
import { makeConsole } from '../compiler/cli/console.ts';
import { present } from '../compiler/base/invariant.ts';
import { compileGraph } from '../compiler/compile.ts';
import { CheckpointError, ConfigError, precision } from '../compiler/index.ts';
import { makeModel } from '../runtime/model.ts';
import { decodeMatrix } from '../compiler/scalar/quantise.ts';
import { ggmlTypes } from '../stdlib/index.ts';
import { type GgufFile, writeGguf } from './helpers/gguf.ts';
import { ggufOfFolder } from './helpers/gguf-of-folder.ts';
import { deviationOf, fixture, maxError, readGolden } from './helpers/golden.ts';
import { temporaryFolder } from './helpers/models.ts';

const quiet = makeConsole({ quiet: true });
const types = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 8, MXFP4: 39 } as const;

function saved(file: GgufFile): string {
  const path = join(temporaryFolder(), 'model.gguf');
  writeFileSync(path, writeGguf(file));
  return path;
}

/** Largest |difference| from the golden's logits, in their standard deviations. */
async function errorOf(path: string, folder: string, options: OpenOptions): Promise<number> {
  const golden = readGolden(folder);
  const model = await openModel(path, { threads: 1, ...options }, quiet);
  const logits = await model.logits(golden.prompt);
  model.close();
  return maxError(golden.logits, logits) / deviationOf(golden.logits);
}

/** The same model with the numbers that blocks stand for in their place. */
function unpacked(file: GgufFile): GgufFile {
  const tensors = file.tensors.map((t) => {
    const scheme = ggmlTypes.get(t.type)?.scheme;
    if (!scheme) return t;
    const k = t.shape.at(-1) ?? 1;
    const n = t.shape.slice(0, -1).reduce((a, b) => a * b, 1);
    const numbers = Float32Array.from(decodeMatrix(scheme, { blocks: t.bytes }, { n, k }));
    return { ...t, type: types.F32, bytes: new Uint8Array(numbers.buffer) };
  });
  return { ...file, tensors };
}

async function logitsOf(path: string, folder: string, target: string): Promise<Float32Array[]> {
  const model = await openModel(path, { threads: 1, target }, quiet);
  return (await model.logits(readGolden(folder).prompt)).map((row) => Float32Array.from(row));
}

/** On the reference, with activations that are not quantised. */
async function withFloats(path: string, folder: string): Promise<Float32Array[]> {
  const { bound, checkpoint } = await openReadable(path);
  const sheets = [precision`** { activations: f32 }`];
  const { graph, weights } = compileGraph(bound, present(checkpoint), {
    target: 'reference',
    sheets,
  });
  const reader = await readWeights(present(weights), present(checkpoint), nodeFiles);
  const sizes = { threads: 1, context: 64, capacity: 64, sequences: 1 };
  const model = makeModel(openReference(graph, reader, sizes), { name: '', eos: [] }, undefined);
  return (await model.logits(readGolden(folder).prompt)).map((row) => Float32Array.from(row));
}

describe.each(['llama', 'qwen2', 'qwen3', 'mistral_swa', 'mixtral', 'qwen3_moe'])('%s', (name) => {
  const folder = fixture(`goldens/${name}`);

  test.each(['reference', 'wasm'])('F32 on %s', async (target) => {
    const path = saved(await ggufOfFolder(folder, types.F32));
    expect(await errorOf(path, folder, { target })).toBeLessThanOrEqual(2e-4);
  });

  test('F16 on wasm is F16 on the reference', async () => {
    const path = saved(await ggufOfFolder(folder, types.F16));
    const [a, b] = [
      await logitsOf(path, folder, 'wasm'),
      await logitsOf(path, folder, 'reference'),
    ];
    expect(maxError(a, b) / deviationOf(b)).toBeLessThanOrEqual(2e-4);
  });

  test('blocks are the numbers that they stand for', async () => {
    const file = await ggufOfFolder(folder, types.Q8_0);
    expect(file.tensors.filter((t) => t.type === types.Q8_0).length).toBeGreaterThan(8);
    const [a, b] = [
      await withFloats(saved(file), folder),
      await logitsOf(saved(unpacked(file)), folder, 'reference'),
    ];
    expect(maxError(a, b) / deviationOf(b)).toBeLessThanOrEqual(1e-6);
  });
});

// With experts, a logit of the router that changes a little may change who is chosen.
describe.each(['llama', 'qwen2', 'qwen3'])('%s', (name) => {
  const folder = fixture(`goldens/${name}`);

  test('blocks: nearer the more bits they have, the same on wasm', async () => {
    const path = saved(await ggufOfFolder(folder, types.Q8_0));
    const eight = await errorOf(path, folder, { target: 'reference' });
    const low = saved(await ggufOfFolder(folder, types.Q4_0));
    const four = await errorOf(low, folder, { target: 'reference' });
    expect(eight).toBeGreaterThan(1e-4);
    expect(eight).toBeLessThan(0.2);
    expect(four).toBeGreaterThan(2 * eight);
    const { prompt } = readGolden(folder);
    for (const file of [path, low]) {
      const [a, b] = await Promise.all(
        ['wasm', 'reference'].map(async (target) => {
          const model = await openModel(file, { threads: 1, target }, quiet);
          return (await model.logits(prompt)).map((row) => Float32Array.from(row));
        }),
      );
      expect(maxError(a ?? [], b ?? []) / deviationOf(b ?? [])).toBeLessThanOrEqual(2e-3);
    }
  });
});

describe('windows', () => {
  const windowsOf = async (metadata: GgufFile['metadata']) => {
    const file = await ggufOfFolder(fixture('goldens/qwen3'), types.F32);
    const { bound } = await openReadable(saved({ ...file, metadata: { ...file.metadata, ...metadata } })); // prettier-ignore
    return bound.params?.['windows'];
  };
  const four = { 'qwen3.attention.sliding_window': { u32: 4 } };
  test.each<[string, GgufFile['metadata'], readonly number[]]>([
    ['none', {}, [0, 0, 0]],
    ['of 0', { 'qwen3.attention.sliding_window': { u32: 0 } }, [0, 0, 0]],
    ['everywhere', four, [4, 4, 4]],
    [
      'but in each second layer',
      { ...four, 'qwen3.attention.sliding_window_pattern': { u32: 2 } },
      [4, 0, 4],
    ],
    [
      'as listed',
      { ...four, 'qwen3.attention.sliding_window_pattern': { bools: [false, true, false] } },
      [0, 4, 0],
    ],
  ])('%s', async (_, metadata, windows) => {
    expect(await windowsOf(metadata)).toEqual(windows);
  });
  test('a pattern that is none', async () => {
    const pattern = { 'qwen3.attention.sliding_window_pattern': { text: 'x' } };
    await expect(windowsOf({ ...four, ...pattern })).rejects.toThrow(
      /sliding_window_pattern is "x"/,
    );
  });
});

describe('weights of a model.ts', () => {
  const folder = fixture('goldens/llama');
  const families = fileURLToPath(new URL('../stdlib/families/index.ts', import.meta.url));
  const config = readFileSync(join(folder, 'config.json'), 'utf8');
  const script = (checkpoint: string | undefined): string => {
    const path = join(temporaryFolder(), 'model.mts');
    const own = checkpoint === undefined ? '' : `checkpoint: ${JSON.stringify(checkpoint)}`;
    writeFileSync(
      path,
      `import { modelOf } from ${JSON.stringify(families)};\nexport default { ...modelOf(${config}), ${own} };\n`,
    );
    return path;
  };

  test.each(['reference', 'wasm'])('from a GGUF file beside it, on %s', async (target) => {
    const checkpoint = saved(await ggufOfFolder(folder, types.F32));
    expect(await errorOf(script(undefined), folder, { target, checkpoint })).toBeLessThanOrEqual(
      2e-4,
    );
    expect(await errorOf(script(checkpoint), folder, { target })).toBeLessThanOrEqual(2e-4);
  });

  test('a file that is not there', async () => {
    const opened = openModel(script(undefined), { checkpoint: '/nowhere/x.gguf' }, quiet);
    await expect(opened).rejects.toMatchObject({ code: 'checkpoint/missing' });
  });
});

describe('errors', () => {
  const folder = fixture('goldens/llama');
  const changed = async (metadata: GgufFile['metadata'], names?: (n: string) => string) => {
    const file = await ggufOfFolder(folder, types.F32);
    return openReadable(
      saved({
        metadata: { ...file.metadata, ...metadata },
        tensors: file.tensors.map((t) => ({ ...t, name: names?.(t.name) ?? t.name })),
      }),
    );
  };
  test('an unknown architecture: the known ones are listed', async () => {
    const opened = changed({ 'general.architecture': { text: 'mamba' } });
    await expect(opened).rejects.toBeInstanceOf(ConfigError);
    await expect(opened).rejects.toThrow(/mamba.*llama, qwen2, qwen3, qwen3moe/);
  });
  test.each<[string, GgufFile['metadata'], RegExp]>([
    [
      'experts that are said alone',
      { 'llama.expert_count': { u32: 8 } },
      /num_experts_per_tok is missing/,
    ],
    [
      'no experts',
      { 'general.architecture': { text: 'qwen3moe' } },
      /expert_count is missing: expected experts/,
    ],
    [
      'too many experts',
      { 'llama.expert_count': { u32: 8 }, 'llama.expert_used_count': { u32: 9 } },
      /num_experts_per_tok is 9/,
    ],
    [
      'experts that all see',
      { 'llama.expert_count': { u32: 8 }, 'llama.expert_shared_count': { u32: 1 } },
      /expert_shared_count is 1/,
    ],
    [
      'sigmoids',
      { 'llama.expert_count': { u32: 8 }, 'llama.expert_gating_func': { u32: 2 } },
      /expert_gating_func is 2/,
    ],
    ['scaling', { 'llama.rope.scaling.type': { text: 'longrope' } }, /rope\.scaling\.type/],
    ['no number', { 'llama.embedding_length': { text: 'x' } }, /embedding_length/],
    ['values', { 'llama.attention.value_length': { u32: 7 } }, /value_length is 7/],
  ])('%s', async (_, metadata, message) => {
    await expect(changed(metadata)).rejects.toThrow(message);
  });
  test('two tensors of one name', async () => {
    const opened = changed({}, (n) => (n === 'blk.0.attn_q.weight' ? 'model.norm.weight' : n));
    await expect(opened).rejects.toBeInstanceOf(CheckpointError);
  });
});
