/** Layers of one loop whose weights a checkpoint keeps in different types: runs of their own. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { configOf } from '../bench/checkpoints.ts';
import { present } from '../compiler/base/invariant.ts';
import { makeConsole } from '../compiler/cli/console.ts';
import { openModel } from '../compiler/cli/open.ts';
import { openReadable } from '../compiler/cli/subject.ts';
import { compileGraph } from '../compiler/compile.ts';
import { type SheetSource, precision } from '../compiler/index.ts';
import { q8_0 } from '../stdlib/index.ts';
import { writeGguf } from './helpers/gguf.ts';
import { ggufOfFolder } from './helpers/gguf-of-folder.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { temporaryFolder } from './helpers/models.ts';
import { randomCheckpoint } from './helpers/random-checkpoint.ts';

const quiet = makeConsole({ quiet: true });
const types = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 8 } as const;
type TypeName = keyof typeof types;

const shape = {
  name: 'random',
  vocab: 35,
  width: 64,
  inner: 96,
  depth: 6,
  heads: 2,
  kvHeads: 1,
  head: 32,
  dtype: 'F32',
  context: 64,
} as const;
const { folder } = randomCheckpoint(shape);
const config = { ...configOf(shape), max_position_embeddings: shape.context, bos_token_id: 0, eos_token_id: 0 }; // prettier-ignore
writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
const prompt = [3, 11, 30, 7, 25, 12];

/** A file whose `ffn_down` has a type for each layer; its other matrices are kept in Q4_0. */
async function fileOf(layers: readonly TypeName[]): Promise<string> {
  const file = await ggufOfFolder(folder, (name) => {
    const [, layer] = /^blk\.(\d+)\.ffn_down/.exec(name) ?? [];
    return types[(layer === undefined ? undefined : layers[Number(layer)]) ?? 'Q4_0'];
  });
  const path = join(temporaryFolder(), 'model.gguf');
  writeFileSync(path, writeGguf(file));
  return path;
}

/** Iterations of each loop of the graph. */
async function loopsOf(
  path: string,
  sheets: readonly SheetSource[] = [],
): Promise<readonly number[]> {
  const { bound, checkpoint } = await openReadable(path);
  const { graph } = compileGraph(bound, present(checkpoint), { target: 'reference', sheets });
  return graph.nodes.flatMap((n) => (n.kind === 'loop' ? n.count : []));
}

async function logitsOf(path: string, target: string): Promise<Float32Array[]> {
  const model = await openModel(path, { threads: 1, target }, quiet);
  const rows = (await model.logits(prompt)).map((row) => Float32Array.from(row));
  model.close();
  return rows;
}

const error = (found: readonly Float32Array[], wanted: readonly Float32Array[]): number =>
  maxError(found, wanted) / deviationOf(wanted);

const [four, eight] = ['Q4_0', 'Q8_0'] as const;
const patterns: readonly (readonly [string, readonly TypeName[], readonly number[]])[] = [
  ['all alike: one loop', [four, four, four, four, four, four], [6]],
  ['by turns: a loop of two layers', [four, eight, four, eight, four, eight], [3]],
  ['more bits at both ends: three runs', [eight, four, four, four, four, eight], [1, 4, 1]],
  ['floats of two types and codes', ['F16', 'F16', 'F32', 'F32', eight, eight], [2, 2, 2]],
];

describe.each(patterns)('%s', (_, layers, loops) => {
  test('on wasm as on the reference', async () => {
    const path = await fileOf(layers);
    expect(await loopsOf(path)).toEqual(loops);
    const wanted = await logitsOf(path, 'reference');
    expect(error(await logitsOf(path, 'wasm'), wanted)).toBeLessThanOrEqual(2e-3);
  });
});

test('each layer has its own bits', async () => {
  const [low, high, mixed] = await Promise.all(
    [
      [four, four, four],
      [eight, eight, eight],
      [eight, four, eight],
    ].map(async (pattern) =>
      logitsOf(await fileOf([...pattern, ...pattern] as TypeName[]), 'reference'),
    ),
  );
  const least = Math.min(
    error(present(mixed), present(low)),
    error(present(mixed), present(high)),
    error(present(low), present(high)),
  );
  expect(least).toBeGreaterThan(1e-3);
});

test('runs of a sheet and runs of the file meet', async () => {
  const path = await fileOf([four, eight, four, eight, four, eight]);
  const sheet = precision`layers[0].mlp.up_proj, layers[1].mlp.up_proj { weights: ${q8_0} }`;
  expect(await loopsOf(path, [sheet])).toEqual([1, 1, 2]);
});
