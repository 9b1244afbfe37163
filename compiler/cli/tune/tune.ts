/**
 * `compile --tune`: for each shape of a product the schedules that the cost model cannot separate are
 * measured on this machine, and what is fastest is kept.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { present } from '../../base/invariant.ts';
import type { Plan } from '../../4-partition/plan.ts';
import {
  type Estimate,
  type Work,
  candidatesFor,
  rank,
  unseparated,
} from '../../5-kernel/choose.ts';
import type { Core } from '../../5-kernel/core.ts';
import type { SimdMachine } from '../../5-kernel/machine.ts';
import { type Schedule, type Schedules, type Shape, sameSchedule, scheduleIn, shapesOf } from '../../5-kernel/schedule.ts'; // prettier-ignore
import { probeProgram, regionBytes } from '../../6-program/probe.ts';
import { placeWeights } from '../../6-program/memory.ts';
import { type Measured, type TuneCache, type TuneEntry, type TuneKey } from './cache.ts';
import { type Runner, measure, median, openProbe, winnerOf } from './measure.ts';
import {
  type ProbeTarget,
  type ProbeWeights,
  writeProbe,
  writeProbeWeights,
} from './probe-files.ts';

/** What is tuned for: code of a target as this machine runs it. */
export interface TuneTarget {
  readonly machine: SimdMachine;
  readonly core: Core;
  /** The instruction set, or the engine. */
  readonly isa: string;
  readonly probe: ProbeTarget;
}

export interface TuneOptions {
  readonly cache: TuneCache;
  readonly cpu: string;
  readonly compiler: string;
  readonly threads: number;
  /** Tokens of the largest step. */
  readonly most: number;
  readonly onStep?: (what: string) => void;
  readonly onProgress?: (done: number, total: number) => void;
  /** Told what goes on without what was wanted. */
  readonly onNote: (note: string) => void;
  readonly signal: AbortSignal;
}

/** What became of a shape. */
export interface TunedShape extends TuneEntry {
  readonly target: string;
  readonly isa: string;
  readonly shape: string;
  /** Regions of the shape in a step. */
  readonly count: number;
  /** From the cache: nothing was measured. */
  readonly cached: boolean;
}

/** Tokens of a prefill chunk that is measured: candidates' stages divide it. */
const chunkTokens = 128;
/** Candidates that are measured at most, the machine's own among them. */
const mostMeasured = 6;
/** Bytes that one token's pass reads, at most: more than caches hold of a core's, less than minutes take. */
const mostBytes = 2 ** 27;
/** Bytes that a chunk's pass reads, at most: it computes tens of times as long as one token's. */
const mostChunkBytes = 2 ** 23;

/** Each shape of the plan, in order. What is measured is in the cache once its shape is done. */
export async function tune(
  plan: Plan,
  target: TuneTarget,
  options: TuneOptions,
): Promise<readonly TunedShape[]> {
  const { cache, signal } = options;
  const shapes = shapesOf(plan);
  const out: TunedShape[] = [];
  /** The cache takes nothing. */
  let full = false;
  for (const [i, shape] of shapes.entries()) {
    signal.throwIfAborted();
    options.onProgress?.(i, shapes.length);
    options.onStep?.(`${target.probe.kind}: ${shape.name} (${i + 1} of ${shapes.length})`);
    const key = keyOf(target, options, shape);
    const had = cache.get(key);
    const entry = had ?? (await tuneShape(plan, target, options, shape));
    if (!had && !full) {
      await cache.put(key, entry).catch((e: unknown) => {
        full = true;
        options.onNote(`note: what is measured is not kept: ${String(e)}`);
      });
    }
    const { name, count } = shape;
    out.push({ target: target.probe.kind, isa: target.isa, shape: name, count, cached: had !== undefined, ...entry }); // prettier-ignore
  }
  options.onProgress?.(shapes.length, shapes.length);
  return out;
}

/** Schedules that differ from the machine's own: what a compile is told. */
export const schedulesIn = (tuned: readonly TunedShape[], machine: SimdMachine): Schedules =>
  new Map(
    tuned.flatMap((t) =>
      sameSchedule(t.schedule, machine) ? [] : [[t.shape, t.schedule] as const],
    ),
  );

const keyOf = (
  { machine, isa, probe }: TuneTarget,
  { cpu, compiler, threads, most }: TuneOptions,
  { name }: Shape,
): TuneKey => ({
  cpu,
  target: probe.kind,
  isa,
  threads,
  compiler,
  shape: name,
  own: scheduleIn(machine),
  chunk: Math.min(chunkTokens, most),
});

/** How one token's matrix is read, then how tokens of a chunk share it: neither touches the other. */
async function tuneShape(
  plan: Plan,
  target: TuneTarget,
  options: TuneOptions,
  { region }: Shape,
): Promise<TuneEntry> {
  const { machine, core } = target;
  const { threads } = options;
  const measured: Measured[] = [];
  let schedule = scheduleIn(machine);
  for (const tokens of new Set([1, Math.min(chunkTokens, options.most)])) {
    const work: Work = { plan, region, machine, core, tokens, threads };
    const left = toMeasure(rank(work, candidatesFor(work, tokens)), machine);
    if (left.length === 1) continue;
    const found = await measureAll(work, target, left, options);
    measured.push(...found.measured);
    const { ahead, streams, together, staged } = found.winner;
    schedule = tokens === 1 ? { ...schedule, ahead, streams } : { ...schedule, together, staged };
  }
  return { schedule, measured };
}

/** The machine's own schedule first, then what the model cannot separate from the best. */
function toMeasure(ranked: readonly Estimate[], machine: SimdMachine): readonly Schedule[] {
  const others = unseparated(ranked).filter((e) => !sameSchedule(e.schedule, machine));
  return [scheduleIn(machine), ...others.slice(0, mostMeasured - 1).map((e) => e.schedule)];
}

async function measureAll(
  { plan, region, machine, tokens, threads }: Work,
  { probe }: TuneTarget,
  schedules: readonly Schedule[],
  { signal }: TuneOptions,
): Promise<{ readonly winner: Schedule; readonly measured: readonly Measured[] }> {
  const copies = copiesOf(plan, regionBytes(plan, region, machine), tokens);
  const folder = await mkdtemp(join(tmpdir(), 'cograph-tune-'));
  const runners: Runner[] = [];
  try {
    let weights: ProbeWeights | undefined;
    for (const [i, schedule] of schedules.entries()) {
      const program = probeProgram(plan, region, { ...machine, ...schedule }, tokens, copies);
      weights ??= await writeProbeWeights(program, join(folder, 'shared'), signal);
      const own = join(folder, String(i));
      await writeProbe(program, weights, probe, own, signal);
      runners.push(await openProbe(program, own, probe.kind, threads, signal));
    }
    const times = await measure(runners, signal);
    return {
      winner: present(schedules[winnerOf(times)]),
      measured: schedules.map((schedule, i) => ({
        tokens,
        schedule,
        milliseconds: median(times[i] ?? []) / copies,
      })),
    };
  } finally {
    runners.forEach((r) => r.close());
    await rm(folder, { recursive: true, force: true });
  }
}

/** As many as the model has bytes of weights, so that caches hold as much of them as in the model. */
function copiesOf(plan: Plan, bytes: number, tokens: number): number {
  const most = tokens === 1 ? mostBytes : mostChunkBytes;
  return Math.max(1, Math.floor(Math.min(placeWeights(plan).bytes, most) / bytes));
}
