/** Small programs made by hand, run on the GPU and in the interpreter. */
import { expect } from 'vitest';
import type { DType } from '../../compiler/base/type.ts';
import { makeRaceLog } from '../../compiler/5-kernel/races.ts';
import type { Kernel, Stmt, Tile } from '../../compiler/5-kernel/kernel.ts';
import { verifyKernel } from '../../compiler/5-kernel/verify.ts';
import { type ProgramMemory, interpretProgram } from '../../compiler/6-program/interpret.ts';
import type { Argument, Item, Program } from '../../compiler/6-program/program.ts';
import { webgpuRunner } from './webgpu.ts';

export const tile = (name: string, dtype: DType, fixed = false): Tile => ({
  name,
  dtype,
  shape: [],
  layout: { strides: [1] },
  space: 'global',
  owner: 'grid',
  ...(fixed ? { fixed } : {}),
});
export const kernel = (params: readonly Tile[], body: readonly Stmt[], name = 'k'): Kernel => ({
  name,
  params,
  scalars: ['t', 'r', 'blocks'],
  workgroup: 64,
  body,
  scratchBytes: 0,
  schedule: {},
  orderKept: true,
});
export const shared = (name: string, elements: number, dtype: DType = 'f32'): Stmt => ({
  kind: 'tile',
  tile: {
    name,
    dtype,
    shape: [elements],
    layout: { strides: [1] },
    space: 'shared',
    owner: 'workgroup',
  },
});
export const barrier: Stmt = { kind: 'barrier', owner: 'workgroup' };

/** Places of a program that these tests make: an arena of two arrays, weights, one state, the step's arrays. */
export const arenaArray = 4096;
export const arena = (offset: number): Argument => ({ kind: 'arena', offset, stride: 0 });
export const weights = (offset: number, stride = 0): Argument => ({
  kind: 'weights',
  offset,
  stride,
});
export const slots = 64;

export interface Made {
  readonly kernels: readonly Kernel[];
  readonly body: readonly Item[];
  /** Bytes of each weight; they lie one after the other, 256 apart at least. */
  readonly weights?: readonly number[];
  readonly state?: { readonly dtype: DType; readonly bytes: number };
}

const align = (n: number, to = 256): number => Math.ceil(n / to) * to;

export function programOf({ kernels, body, weights: sizes = [], state }: Made): Program {
  let offset = 0;
  const placed = sizes.map((bytes, n) => {
    const slot = {
      name: `w${n}`,
      source: `w${n}`,
      dtype: 'u8' as const,
      shape: [bytes],
      layout: { kind: 'plain' } as const,
      offset,
      count: 1,
      stride: 0,
    };
    offset += align(bytes);
    return slot;
  });
  return {
    name: 'made',
    limits: { tokens: 8, rows: 8 },
    kernels,
    body,
    memory: {
      arenaBytes: 2 * arenaArray,
      scratchBytes: 0,
      weightBytes: offset,
      stateBytesPerSlot: state?.bytes ?? 0,
      buffers: [0, 1].map((n) => ({ name: `b${n}`, offset: n * arenaArray, bytes: arenaArray, from: 0, to: 0 })), // prettier-ignore
    },
    weights: placed,
    states: state
      ? [{ name: 's', dtype: state.dtype, row: [state.bytes], bytes: state.bytes, offset: 0, count: 1, stride: 0 }] // prettier-ignore
      : [],
    output: { offset: 0, width: 1, rowBytes: 4 },
  };
}

/** Memory of such a program, filled by `fill` of each word's number. */
export function memoryOf(program: Program, fill: (word: number) => number): ProgramMemory {
  const { arenaBytes, weightBytes, stateBytesPerSlot } = program.memory;
  const weightsAt = align(arenaBytes);
  const state = weightsAt + align(weightBytes);
  const step = state + align(stateBytesPerSlot * slots);
  const memory = new DataView(new ArrayBuffer(step + 1024));
  for (let at = 0; at < memory.byteLength; at += 4) memory.setInt32(at, fill(at / 4), true);
  const fields = ['ids', 'sequence', 'position', 'slot', 'length', 'rows', 'table', 'keys'];
  const places = new Map(fields.map((f, n) => [f, { address: step + 128 * n, bytes: 128 }]));
  return { memory, arena: 0, weights: weightsAt, state, step: places, slots };
}

export const sizes = { t: 3, r: 1, blocks: 2 };

/** The arena after a step on the GPU and in the interpreter, which agree in the state too. */
export async function both(
  made: Made,
  fill: (word: number) => number,
  dot = false,
  most?: number,
): Promise<{ readonly found: DataView; readonly wanted: DataView }> {
  const program = programOf(made);
  expect(program.kernels.flatMap((k) => verifyKernel(k))).toEqual([]);
  const [ours, theirs] = [memoryOf(program, fill), memoryOf(program, fill)];
  await webgpuRunner(dot, most)(program, ours, { ...sizes, threads: 1 });
  interpretProgram(program, theirs, { ...sizes, threads: 1 }, makeRaceLog(ours.memory.byteLength));
  const state = (m: ProgramMemory): Uint8Array =>
    new Uint8Array(m.memory.buffer, m.state, program.memory.stateBytesPerSlot * slots);
  expect(state(ours)).toEqual(state(theirs));
  return { found: ours.memory, wanted: theirs.memory };
}
