/** From logits to a token. Holds its scratch, so that a token costs no allocation of its size. */
import { InputError } from './errors.ts';
import { uniform } from './random.ts';

export interface SampleOptions {
  /** Always the most likely token; the same as temperature 0. */
  readonly greedy?: boolean;
  readonly temperature?: number;
  /** Only the k most likely tokens. */
  readonly topK?: number;
  /** Only the most likely tokens that together have this probability. */
  readonly topP?: number;
  /** Only tokens at least this fraction as likely as the most likely one. */
  readonly minP?: number;
  /** Divides positive and multiplies negative logits of tokens that have occurred. */
  readonly repetitionPenalty?: number;
  readonly seed?: number;
}

const ranges: Readonly<Record<string, readonly [number, number, boolean]>> = {
  temperature: [0, 1000, false],
  topK: [0, 2 ** 31, true],
  topP: [0, 1, false],
  minP: [0, 1, false],
  repetitionPenalty: [1e-3, 1000, false],
  seed: [0, Number.MAX_SAFE_INTEGER, true],
};

/** Throws InputError for a value out of its range. */
export function checkSampleOptions(o: SampleOptions): void {
  for (const [name, value] of Object.entries(o)) {
    const range = Object.hasOwn(ranges, name) ? ranges[name] : undefined;
    if (!range || value === undefined) continue;
    const [low, high, whole] = range;
    const good =
      typeof value === 'number' &&
      value >= low &&
      value <= high &&
      (!whole || Number.isInteger(value));
    if (!good) {
      throw new InputError(
        'input/option',
        `${name} is ${String(value)}: expected ${whole ? 'a whole number' : 'a number'} from ${low} to ${high}`,
      );
    }
  }
}

export interface Sampler {
  /**
   * The next token of sequence `key` at `position`. `seen`: ids that the repetition penalty looks at.
   */
  sample(
    logits: Float32Array,
    o: SampleOptions,
    seen: readonly number[],
    key: number,
    position: number,
  ): number;
}

export function makeSampler(vocab: number): Sampler {
  const work = new Float32Array(vocab);
  const order = new Int32Array(vocab);

  return {
    sample(logits, o, seen, key, position) {
      const penalty = o.repetitionPenalty ?? 1;
      const source = penalty === 1 ? logits : penalised(logits, seen, penalty);
      const temperature = o.temperature ?? 1;
      if (o.greedy === true || temperature === 0) return argmax(source);
      const count = choose(source, o, temperature);
      return draw(source, count, temperature, o, uniform(o.seed ?? 0, key, position));
    },
  };

  function penalised(logits: Float32Array, seen: readonly number[], penalty: number): Float32Array {
    work.set(logits);
    for (const id of seen) {
      const value = logits[id] ?? 0;
      work[id] = value > 0 ? value / penalty : value * penalty;
    }
    return work;
  }

  /** Puts the candidates into `order`, the most likely first where an order matters. */
  function choose(logits: Float32Array, o: SampleOptions, temperature: number): number {
    const topK = o.topK !== undefined && o.topK > 0 && o.topK < vocab ? o.topK : vocab;
    const nucleus = o.topP !== undefined && o.topP < 1;
    let floor = -Infinity;
    if (topK < vocab) floor = kthLargest(logits, topK);
    let count = above(logits, floor);
    if (nucleus || topK < vocab) {
      if (count > topK || nucleus) sortCandidates(logits, count);
      count = Math.min(count, topK);
    }
    return count;
  }

  function above(logits: Float32Array, floor: number): number {
    let count = 0;
    for (let i = 0; i < vocab; i++) if ((logits[i] ?? 0) >= floor) order[count++] = i;
    return count;
  }

  function sortCandidates(logits: Float32Array, count: number): void {
    order.subarray(0, count).sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b);
  }

  /** The k-th largest value, by halving the range of values: no sort of the vocabulary. */
  function kthLargest(logits: Float32Array, k: number): number {
    const heap = new Float32Array(k).fill(-Infinity);
    for (let i = 0; i < vocab; i++) {
      const v = logits[i] ?? 0;
      if (v <= (heap[0] ?? 0)) continue;
      heap[0] = v;
      sink(heap);
    }
    return heap[0] ?? -Infinity;
  }

  function draw(
    logits: Float32Array,
    given: number,
    temperature: number,
    o: SampleOptions,
    u: number,
  ): number {
    let most = -Infinity;
    for (let i = 0; i < given; i++) most = Math.max(most, logits[order[i] ?? 0] ?? 0);
    const weight = (i: number): number =>
      Math.exp(((logits[order[i] ?? 0] ?? 0) - most) / temperature);
    let total = 0;
    for (let i = 0; i < given; i++) total += weight(i);
    let count = given;
    const topP = o.topP ?? 1;
    if (topP < 1) {
      let sum = 0;
      count = 0;
      while (count < given && (count === 0 || sum < topP * total)) sum += weight(count++);
      total = sum;
    }
    const minP = o.minP ?? 0;
    if (minP > 0) {
      let kept = 0;
      total = 0;
      for (let i = 0; i < count; i++) {
        const w = weight(i);
        if (w < minP) continue;
        order[kept++] = order[i] ?? 0;
        total += w;
      }
      count = kept;
    }
    let left = u * total;
    for (let i = 0; i < count; i++) {
      left -= weight(i);
      if (left < 0) return order[i] ?? 0;
    }
    return order[count - 1] ?? 0;
  }
}

function sink(heap: Float32Array): void {
  let at = 0;
  for (;;) {
    let least = at;
    for (const child of [2 * at + 1, 2 * at + 2]) {
      if (child < heap.length && (heap[child] ?? 0) < (heap[least] ?? 0)) least = child;
    }
    if (least === at) return;
    [heap[at], heap[least]] = [heap[least] ?? 0, heap[at] ?? 0];
    at = least;
  }
}

/** The position of the largest logit, the first of equal ones. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  let most = logits[0] ?? 0;
  for (let i = 1; i < logits.length; i++) {
    const v = logits[i] ?? 0;
    if (v > most) {
      most = v;
      best = i;
    }
  }
  return best;
}

/** ln softmax at `id`. */
export function logProbability(logits: Float32Array, id: number): number {
  let most = -Infinity;
  for (const v of logits) most = Math.max(most, v);
  let total = 0;
  for (const v of logits) total += Math.exp(v - most);
  return (logits[id] ?? 0) - most - Math.log(total);
}

/** The n most likely tokens with ln of their probabilities, the most likely first. */
export function topLogProbabilities(
  logits: Float32Array,
  n: number,
): readonly { readonly id: number; readonly logprob: number }[] {
  const best: number[] = [];
  for (let i = 0; i < logits.length; i++) {
    const last = best[n - 1];
    if (last !== undefined && (logits[i] ?? 0) <= (logits[last] ?? 0)) continue;
    const at = best.findIndex((b) => (logits[i] ?? 0) > (logits[b] ?? 0));
    best.splice(at < 0 ? best.length : at, 0, i);
    best.length = Math.min(best.length, n);
  }
  const first = best[0] ?? 0;
  const base = logProbability(logits, first) - (logits[first] ?? 0);
  return best.map((id) => ({ id, logprob: (logits[id] ?? 0) + base }));
}
