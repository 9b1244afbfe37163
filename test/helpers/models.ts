/** Models of the fixtures and examples on each target, for tests that run them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readWeights, openReference } from '../../compiler/cli/reference-device.ts';
import { nodeFiles } from '../../compiler/cli/node-files.ts';
import { compile, compileGraph } from '../../compiler/compile.ts';
import type { BoundModel } from '../../compiler/index.ts';
import { readCheckpoint } from '../../compiler/8-bundle/checkpoint.ts';
import type { Limits } from '../../compiler/6-program/program.ts';
import { type LoadOptions, load } from '../../runtime/load.ts';
import { type LoadedModel, makeModel } from '../../runtime/model.ts';
import { modelOf } from '../../stdlib/index.ts';
import { readJson } from './golden.ts';

const folders: string[] = [];
process.once('exit', () => folders.forEach((f) => rmSync(f, { recursive: true, force: true })));

/** A folder that goes when the process ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cograph-test-'));
  folders.push(folder);
  return folder;
}

export const familyModel = (folder: string): BoundModel =>
  modelOf(readJson(join(folder, 'config.json')));

/** Compiles the model of a checkpoint folder for wasm; the bundle's folder. */
export async function bundleOf(
  bound: BoundModel,
  checkpointFolder: string,
  limits: Partial<Limits> = {},
  adapters: readonly string[] = [],
): Promise<string> {
  const out = join(temporaryFolder(), 'bundle');
  const checkpoint = await readCheckpoint(nodeFiles, checkpointFolder, adapters);
  await compile(bound, checkpoint, { compiler: 'test' }, nodeFiles, out, {
    target: 'wasm',
    limits,
  });
  return out;
}

export const loadBundle = (folder: string, options: LoadOptions = {}): Promise<LoadedModel> =>
  load(folder, { threads: 1, ...options });

/** The same model interpreted in double precision. */
export async function referenceOf(
  bound: BoundModel,
  checkpointFolder: string,
  context = 256,
  adapters: readonly string[] = [],
): Promise<LoadedModel> {
  const checkpoint = await readCheckpoint(nodeFiles, checkpointFolder, adapters);
  const { graph, weights, model } = compileGraph(bound, checkpoint, { target: 'reference' });
  if (!weights) throw new Error('no weights');
  const reader = await readWeights(weights, checkpoint, nodeFiles);
  const sizes = { threads: 1, context, capacity: 2 * context, sequences: 8 };
  const executor = openReference(graph, reader, sizes);
  return makeModel(executor, { name: model.name, eos: bound.eos ?? [] }, undefined);
}

/** `count` tokens after `prompt` by argmax. */
export async function greedy(
  model: LoadedModel,
  prompt: readonly number[],
  count: number,
): Promise<readonly number[]> {
  const ids: number[] = [];
  const options = { maxTokens: count, temperature: 0, ignoreEos: true };
  for await (const part of model.generate(prompt, options)) ids.push(...part.ids);
  return ids;
}
