/** Tokens per second of two engines, interleaved, beside the read bandwidth of the same seconds. */
import { median } from '../statistics.ts';
import type { BandwidthMeter } from '../bandwidth.ts';
import { type Engine, type Request, figure } from './engine.ts';
import type { Measured, Side } from './result.ts';
import { spreadOf } from './result.ts';
import type { SpeedRow } from './rows.ts';
import { type Candidate, type Setting, candidatesOf } from './sides.ts';

/** How long a row is measured. */
export interface Effort {
  readonly rounds: number;
  readonly quick: boolean;
}

interface Plan {
  readonly context: number;
  /** Asked once after loading. */
  readonly before: readonly Request[];
  readonly request: Request;
  /** Asked in a round, of which the median counts: short requests are disturbed easily. */
  readonly times: number;
}

export function planOf(row: SpeedRow, { quick, rounds }: Effort): Plan {
  const tiny = row.model.startsWith('bard');
  const small = row.model.startsWith('llama-150m');
  // wllama takes minutes for what others do in seconds; both sides do less, and the same.
  const slow = row.theirs === 'wllama' ? (small ? 2 : 4) : 1;
  switch (row.kind) {
    case 'decode': {
      const tokens = tiny ? (quick ? 96 : 384) : quick ? 16 : (small ? 96 : 64) / slow;
      const request = { do: 'decode', prompt: 32, tokens };
      return { context: tiny ? 512 : 1024, before: [], request, times: tiny ? 5 : 1 };
    }
    case 'prefill':
      return {
        context: 1024,
        before: [],
        request: { do: 'prefill', tokens: quick ? 128 : slow === 1 ? 512 : 256 / slow },
        times: 1,
      };
    case 'attention': {
      const [keys, tokens] = [quick ? 2048 : 8192, quick ? 8 : 16];
      const room = (rounds + 4) * (tokens + 4);
      return {
        context: Math.ceil((keys + room) / 256) * 256,
        before: [{ do: 'fill', tokens: keys }],
        request: { do: 'continue', tokens },
        times: 1,
      };
    }
    default:
      return row.kind satisfies never;
  }
}

async function rateOf(
  engine: Engine,
  { request, times }: Plan,
  notes?: Set<string>,
): Promise<number> {
  const all: number[] = [];
  for (let i = 0; i < times; i++) {
    const answer = await engine.ask(request);
    all.push(figure(answer, 'tokensPerSecond'));
    if (typeof answer['note'] === 'string') notes?.add(answer['note']);
  }
  return median(all);
}

interface Ready {
  readonly candidate: Candidate;
  readonly engine: Engine;
  /** Tokens per second. */
  readonly value: number;
}

/** Loads, fills and warms up: the first run pays for what is compiled and paged in on first use. */
async function ready(candidate: Candidate, plan: Plan): Promise<Ready> {
  const engine = await candidate.start();
  try {
    await engine.ask({ do: 'open' });
    for (const request of plan.before) await engine.ask(request);
    return { candidate, engine, value: await rateOf(engine, { ...plan, times: 1 }) };
  } catch (e) {
    await engine.close();
    throw e;
  }
}

/** The better of two runs, unless one takes long enough to be steady. */
async function better(engine: Engine, plan: Plan): Promise<number> {
  const from = performance.now();
  const first = await rateOf(engine, plan);
  return performance.now() - from > 5000 ? first : Math.max(first, await rateOf(engine, plan));
}

/**
 * The fastest candidate, started; the others are closed again. Who is far behind when warming up is out.
 */
async function fastest(
  candidates: readonly Candidate[],
  plan: Plan,
  tried: { readonly engine: string; readonly value: number }[],
): Promise<Ready> {
  let best: Ready | undefined;
  try {
    for (const candidate of candidates) {
      const now = await ready(candidate, plan);
      if (candidates.length === 1) return now;
      const { engine } = now;
      const out = best !== undefined && now.value < best.value / 2;
      const value = out ? now.value : await better(engine, plan);
      tried.push({ engine: candidate.name, value });
      if (best !== undefined && best.value >= value) await engine.close();
      else {
        const slower = best?.engine;
        best = { candidate, engine, value };
        await slower?.close();
      }
    }
  } catch (e) {
    await best?.engine.close();
    throw e;
  }
  if (best === undefined) throw new Error('no candidate');
  return best;
}

export async function measureSpeed(
  row: SpeedRow,
  setting: Omit<Setting, 'context'>,
  effort: Effort,
  meter: BandwidthMeter,
): Promise<Measured> {
  const plan = planOf(row, effort);
  const { file, tools } = setting;
  const full = { ...setting, context: plan.context };
  // What cannot run is known before the other side takes its time.
  const ourCandidates = await candidatesOf(row.ours, row.threads, full);
  const theirCandidates = await candidatesOf(row.theirs, row.theirThreads, full);
  const tried: { engine: string; value: number }[] = [];
  const open: Engine[] = [];
  try {
    const ours = await fastest(ourCandidates, plan, tried);
    open.push(ours.engine);
    const theirs = await fastest(theirCandidates, plan, tried);
    open.push(theirs.engine);
    const { threads } = ours.candidate;
    // Prefill is bound by arithmetic.
    const reads = row.kind === 'decode' && (threads === 1 || meter.threaded);
    const notes = new Set<string>();
    const bandwidths: number[] = [];
    const a: number[] = [];
    const b: number[] = [];
    for (let r = 0; r < effort.rounds; r++) {
      if (reads) {
        const bytes = Math.round(file.weightBytesPerToken);
        const { gigabytesPerSecond } = await meter.measure(bytes, effort.quick ? 0.4 : 1, threads);
        bandwidths.push(gigabytesPerSecond);
      }
      // What an engine says of its last run stands for all.
      notes.clear();
      a.push(await rateOf(ours.engine, plan, notes));
      b.push(await rateOf(theirs.engine, plan, notes));
      tools.note(
        `  ${r + 1}/${effort.rounds}: ${a[r]?.toFixed(1)} against ${b[r]?.toFixed(1)} tok/s`,
      );
    }
    const gigabytes = (rate: number): number => (rate * file.weightBytesPerToken) / 1e9;
    const side = (engine: string, values: readonly number[]): Side => ({
      engine,
      values,
      spread: spreadOf(values),
      ...(row.kind === 'decode' ? { gigabytesPerSecond: gigabytes(median(values)) } : {}),
    });
    const ratio = spreadOf(a.map((x, r) => x / (b[r] ?? NaN)));
    const share = reads
      ? spreadOf(a.map((x, r) => gigabytes(x) / (bandwidths[r] ?? NaN)))
      : undefined;
    const { reach, reachBandwidth } = row;
    return {
      unit: 'tok/s',
      ours: side(ours.candidate.name, a),
      theirs: side(theirs.candidate.name, b),
      ratio,
      ...(reach === undefined ? {} : { reach }),
      ...(reachBandwidth === undefined ? {} : { reachBandwidth }),
      ...(reach === undefined
        ? {}
        : {
            reached:
              ratio.median >= reach &&
              (reachBandwidth === undefined || (share?.median ?? 0) >= reachBandwidth),
          }),
      ...(reads ? { bandwidth: { ...spreadOf(bandwidths), threads, loops: meter.loops } } : {}),
      ...(share ? { share } : {}),
      tried,
      notes: [...notes],
    };
  } finally {
    for (const engine of open) await engine.close();
  }
}
