/** What a program takes of a GPU: buffers and limits, computed before anything is made. */
import type { ExecutorLimits } from '../device.ts';
import type { GpuItem, GpuRange, Manifest, WebGpuProgram } from '../manifest.ts';

/** A piece of the weights that is a buffer of its own. */
export interface WeightPiece {
  readonly from: number;
  readonly to: number;
}

export interface GpuSizes {
  readonly arena: number;
  /** Words of the arrays of the step; `keys` begins at `keysAt`. */
  readonly stepWords: number;
  readonly keysAt: number;
  /** Bytes of each iteration's buffer, by the state's number. */
  readonly states: readonly number[];
  readonly weights: readonly WeightPiece[];
  /** Rows of the result that one readback takes. */
  readonly readback: number;
  readonly total: number;
}

/** Every launch with the number of the iteration it is in. */
export function eachLaunch(
  items: readonly GpuItem[],
  take: (launch: Extract<GpuItem, { kind: 'launch' }>, iteration: number) => void,
  iteration = 0,
): void {
  for (const item of items) {
    if (item.kind === 'launch') take(item, iteration);
    else for (let i = 0; i < item.count; i++) eachLaunch(item.body, take, i);
  }
}

/** Bytes of the weights that a range is in an iteration. */
export const weightRange = (
  r: Extract<GpuRange, { kind: 'weights' }>,
  iteration: number,
): WeightPiece => {
  const from = r.offset + iteration * r.stride;
  return { from, to: from + r.bytes };
};

const align = (n: number, to: number): number => Math.ceil(n / to) * to;

/** Buffers of weights are not made larger than this, if what is bound at once allows it. */
const suitablePiece = 2 ** 30;

/** Pieces of the weights such that whatever a launch binds lies in one of them. */
function piecesOf(items: readonly GpuItem[], mostBytes: number): readonly WeightPiece[] {
  const ranges: WeightPiece[] = [];
  eachLaunch(items, ({ ranges: own }, iteration) => {
    for (const r of own) if (r.kind === 'weights') ranges.push(weightRange(r, iteration));
  });
  ranges.sort((a, b) => a.from - b.from || a.to - b.to);
  const whole: { from: number; to: number }[] = [];
  for (const { from, to } of ranges) {
    const last = whole.at(-1);
    if (last && from < last.to) last.to = Math.max(last.to, to);
    else whole.push({ from, to });
  }
  const most = Math.min(mostBytes, suitablePiece);
  const pieces: { from: number; to: number }[] = [];
  for (const { from, to } of whole) {
    const last = pieces.at(-1);
    if (last && to - last.from <= most) last.to = to;
    else pieces.push({ from, to });
  }
  return pieces;
}

export function sizesOf(
  manifest: Pick<Manifest, 'cache'>,
  program: WebGpuProgram,
  limits: ExecutorLimits,
  mostBytes: number,
): GpuSizes {
  const slots = limits.blocks * limits.block;
  const { tokens, rows, sequences, blocksPerSequence } = limits;
  const keysAt = 5 * tokens + rows + sequences * blocksPerSequence;
  const states = manifest.cache.states.map((s) => align(s.bytes * slots, 16));
  const weights = piecesOf(program.body, mostBytes);
  const arena = align(program.arenaBytes, 16);
  const readback = rows * program.output.rowBytes;
  const sum = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0);
  const cache = sum(manifest.cache.states.map((s, i) => (states[i] ?? 0) * s.count));
  const total =
    arena + 4 * (keysAt + slots) + cache + 2 * readback + sum(weights.map((p) => p.to - p.from));
  return { arena, stepWords: keysAt + slots, keysAt, states, weights, readback, total };
}

/** The limits that a device must have, by their names in WebGPU. */
export function limitsFor(
  program: WebGpuProgram,
  sizes: GpuSizes,
): Readonly<Record<string, number>> {
  const most = (all: readonly number[]): number => Math.max(0, ...all);
  const bound: number[] = [sizes.arena, 4 * sizes.stepWords, ...sizes.states];
  eachLaunch(program.body, ({ ranges }) => {
    for (const r of ranges) if (r.kind === 'weights') bound.push(r.bytes);
  });
  const pieces = sizes.weights.map((p) => p.to - p.from);
  const threads = most(program.kernels.map((k) => k.workgroup));
  return {
    maxStorageBufferBindingSize: most(bound),
    maxBufferSize: most([...bound, ...pieces, sizes.readback]),
    maxStorageBuffersPerShaderStage: most(program.kernels.map((k) => k.bindings.length)),
    maxComputeWorkgroupStorageSize: most(program.kernels.map((k) => k.sharedBytes)),
    maxComputeInvocationsPerWorkgroup: threads,
    maxComputeWorkgroupSizeX: threads,
  };
}
