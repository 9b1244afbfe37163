/** Probes run side by side on this machine: rounds that take turns, and medians. */
import { openFiles } from '../../../runtime/files.ts';
import type { Executor } from '../../../runtime/device.ts';
import { openExecutor } from '../../../runtime/targets.ts';
import type { Program } from '../../6-program/program.ts';

/** Rounds of each measurement; who wins all of them but one did so by luck once in fifty. */
export const rounds = 9;
/** Steps are repeated until a sample takes as long, ms: clocks tell microseconds. */
const sampleMs = 2;
/** How long each runs before it counts, ms: memory is touched, and engines compile again what runs often. */
const warmMs = 100;

/** A step that can be timed. */
export interface Runner {
  run(): Promise<void>;
  close(): void;
}

/** A probe that is open. */
export interface Probe extends Runner {
  /** What the last step left of activations; valid until the next. */
  left(): Float32Array;
}

/** Opens the bundle of a probe, its activations filled. Throws as `load` does. */
export async function openProbe(
  program: Program,
  folder: string,
  target: string,
  threads: number,
  signal: AbortSignal,
): Promise<Probe> {
  const { tokens } = program.limits;
  const sizes = { threads, context: tokens, capacity: tokens, sequences: 1 };
  const files = await openFiles(folder, { signal });
  const { executor } = await openExecutor(files, sizes, { target, signal });
  fillBatch(executor, tokens);
  fillArena(executor, program);
  return {
    run: async () => executor.step(),
    left: () => executor.logits(0),
    close: () => executor.close(),
  };
}

function fillBatch({ batch }: Executor, tokens: number): void {
  batch.tokens = tokens;
  batch.wanted = 1;
  batch.rows[0] = tokens - 1;
  for (let i = 0; i < tokens; i++) {
    batch.position[i] = i;
    batch.slot[i] = i;
    batch.length[i] = i + 1;
  }
  batch.table.forEach((_, i) => (batch.table[i] = i));
}

/** Numbers as activations are; where whole numbers are read they number what tokens have chosen. */
function fillArena(executor: Executor, program: Program): void {
  const arena = executor.logits(0);
  arena.forEach((_, i) => (arena[i] = (((i * 40503) % 509) - 254) / 256));
  const words = new Int32Array(arena.buffer, arena.byteOffset, arena.length);
  const experts = program.weights.find((w) => w.shape.length === 3)?.shape[0] ?? 1;
  for (const kernel of program.kernels) {
    kernel.params.forEach(({ dtype }, i) => {
      for (const item of program.body.flatMap((b) => (b.kind === 'loop' ? b.body : [b]))) {
        const arg = item.kind === 'launch' ? item.args[i] : undefined;
        if (arg?.kind !== 'arena' || dtype !== 'i32') continue;
        const buffer = program.memory.buffers.find((b) => b.offset === arg.offset);
        const [start, count] = [arg.offset / 4, (buffer?.bytes ?? 0) / 4];
        for (let n = 0; n < count; n++) words[start + n] = n % experts;
      }
    });
  }
}

/** Milliseconds of each runner in each round; who begins changes from round to round. */
export async function measure(
  runners: readonly Runner[],
  signal: AbortSignal,
  now: () => number = () => performance.now(),
): Promise<readonly (readonly number[])[]> {
  const times = runners.map((): number[] => []);
  const sample = async (runner: Runner, steps: number): Promise<number> => {
    const began = now();
    for (let i = 0; i < steps; i++) await runner.run();
    return (now() - began) / steps;
  };
  let longest = 0;
  for (const runner of runners) {
    const began = now();
    while (now() - began < warmMs) {
      signal.throwIfAborted();
      await sample(runner, 1);
    }
    longest = Math.max(longest, await sample(runner, 1));
  }
  const steps = Math.max(1, Math.min(1000, Math.ceil(sampleMs / Math.max(longest, 1e-3))));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < runners.length; i++) {
      // Ctrl-C is seen between steps, which need not give way themselves.
      await new Promise((next) => setImmediate(next));
      signal.throwIfAborted();
      const at = (i + round) % runners.length;
      const runner = runners[at];
      if (runner) times[at]?.push(await sample(runner, steps));
    }
  }
  return times;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/**
 * The number of the winner: the first unless another has a lower median and was faster in all rounds but
 * one at most.
 */
export function winnerOf(times: readonly (readonly number[])[]): number {
  const [own = []] = times;
  const medians = times.map(median);
  const best = medians.indexOf(Math.min(...medians));
  const faster = own.filter((t, round) => (times[best]?.[round] ?? t) < t).length;
  return faster >= own.length - 1 ? best : 0;
}
