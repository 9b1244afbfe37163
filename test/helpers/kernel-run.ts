/** Whole programs in the kernels' own interpreter, which checks bounds and races of every access. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nodeFiles } from '../../compiler/cli/node-files.ts';
import { compileProgram } from '../../compiler/compile.ts';
import type { BoundModel } from '../../compiler/index.ts';
import { blockEntries } from '../../compiler/5-kernel/state-rows.ts';
import { type Machine, wasmMachine } from '../../compiler/5-kernel/machine.ts';
import { makeRaceLog } from '../../compiler/5-kernel/races.ts';
import {
  type ProgramMemory,
  type StepSizes,
  interpretProgram,
} from '../../compiler/6-program/interpret.ts';
import type { Program } from '../../compiler/6-program/program.ts';
import { readCheckpoint } from '../../compiler/8-bundle/checkpoint.ts';
import { readManifest } from '../../runtime/validate.ts';
import { bundleOf } from './models.ts';

/** Tokens that `runKernels` runs unless it is told otherwise. */
export const tokens = 6;

/** Runs one step of a program over its memory. */
export type StepRunner = (
  program: Program,
  memory: ProgramMemory,
  sizes: StepSizes,
) => Promise<void>;

/** Bundles by their models: all runs read the same weights. */
const bundles = new WeakMap<BoundModel, Promise<string>>();

const interpreted: StepRunner = (program, m, sizes) => {
  interpretProgram(program, m, sizes, makeRaceLog(m.memory.byteLength));
  return Promise.resolve();
};

/** The program's rows for the first tokens of a prompt, `steps` at a time, with three threads. */
export async function runKernels(
  bound: BoundModel,
  folder: string,
  prompt: readonly number[],
  change: (p: Program) => Program = (p) => p,
  run: StepRunner = interpreted,
  machine: Machine = wasmMachine,
  steps: readonly number[] = [4, tokens - 4],
): Promise<Float32Array[]> {
  const total = steps.reduce((a, b) => a + b, 0);
  const limits = { tokens: total, rows: total };
  const bundle = await (bundles.get(bound) ?? bundleOf(bound, folder, limits));
  bundles.set(bound, Promise.resolve(bundle));
  const manifest = readManifest(readFileSync(join(bundle, 'manifest.json'), 'utf8'));
  const checkpoint = await readCheckpoint(nodeFiles, folder);
  const program = change(compileProgram(bound, checkpoint, { limits, machine }).program);
  const { arenaBytes, weightBytes, stateBytesPerSlot } = program.memory;
  const blocks = Math.ceil(total / blockEntries);
  // The first block of the cache is nobody's.
  const slots = (1 + blocks) * blockEntries;
  const align = (n: number): number => Math.ceil(n / 64) * 64;
  const fieldBytes = align(4 * Math.max(total, blocks));
  const arena = 8 * fieldBytes;
  const state = align(arena + arenaBytes);
  const weights = align(state + stateBytesPerSlot * slots);
  const keys = weights + manifest.weights.bytes;
  const bytes = new Uint8Array(keys + slots * 4);
  for (const s of manifest.weights.shards) {
    bytes.set(readFileSync(join(bundle, s.file)), weights + s.offset);
  }
  if (weightBytes > manifest.weights.bytes) throw new Error('weights of the bundle are cut off');
  const view = new DataView(bytes.buffer);
  const fields = ['ids', 'sequence', 'position', 'slot', 'length', 'rows', 'table'];
  const step = new Map(fields.map((f, i) => [f, { address: i * fieldBytes, bytes: fieldBytes }]));
  step.set('keys', { address: keys, bytes: slots * 4 });
  const out: Float32Array[] = [];
  const put = (field: string, i: number, v: number): void =>
    view.setInt32((step.get(field)?.address ?? 0) + 4 * i, v, true);
  let done = 0;
  for (const count of steps) {
    for (let i = 0; i < blocks; i++) put('table', i, 1 + i);
    for (let i = 0; i < count; i++) {
      const position = done + i;
      put('ids', i, prompt[position] ?? 0);
      put('sequence', i, 0);
      put('position', i, position);
      put('slot', i, blockEntries + position);
      put('length', i, position + 1);
      put('rows', i, i);
      put('keys', blockEntries + position, position);
    }
    const m = { memory: view, arena, weights, state, step, slots };
    const sizes = { t: count, r: count, blocks, threads: 3 };
    await run(program, m, sizes);
    const { offset, width, rowBytes } = program.output;
    for (let i = 0; i < count; i++) {
      const at = arena + offset + i * rowBytes;
      out.push(new Float32Array(bytes.slice(at, at + 4 * width).buffer));
    }
    done += count;
  }
  return out;
}
