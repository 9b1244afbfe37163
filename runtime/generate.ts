/** Text from a prompt, token by token: sampling, stop rules, timings. */
import { InputError } from './errors.ts';
import type { Engine, SequenceState } from './engine.ts';
import {
  type SampleOptions,
  type Sampler,
  checkSampleOptions,
  logProbability,
  topLogProbabilities,
} from './sampler.ts';
import type { Message, Tokenizer } from './tokenizer.ts';

export type Prompt = string | readonly number[] | readonly Message[];

export interface GenerateOptions extends SampleOptions {
  /** Most tokens to generate; 256 unless given. */
  readonly maxTokens?: number;
  /** Texts that end the generation; they are not part of it. */
  readonly stop?: readonly string[];
  /** Tokens that end it, besides the model's own. */
  readonly stopTokens?: readonly number[];
  /** Goes on past the model's own end tokens. */
  readonly ignoreEos?: boolean;
  /** Log-probabilities of each token and of this many most likely ones. */
  readonly logprobs?: number;
  /** Distinguishes the random numbers of generations with one seed; 0 unless given. */
  readonly key?: number;
  /** Tokens of the prompt in one step. */
  readonly chunk?: number;
  readonly signal?: AbortSignal;
}

export type Finish = 'stop' | 'length' | 'eos' | 'abort' | 'context';

export interface Timings {
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /** Milliseconds from the call to the first token, and for all. */
  readonly firstTokenMs: number;
  readonly totalMs: number;
  /** Of the prompt, and of the tokens after the first. */
  readonly promptTokensPerSecond: number;
  readonly tokensPerSecond: number;
  /** Bytes that the model holds: weights, cache, activations. */
  readonly memoryBytes: number;
}

export interface TokenLogprob {
  readonly id: number;
  readonly logprob: number;
  readonly top: readonly { readonly id: number; readonly logprob: number }[];
}

/** A piece of the text. The last one has `finish` and `timings`, and may have no text. */
export interface Part {
  readonly text: string;
  readonly ids: readonly number[];
  readonly logprobs?: readonly TokenLogprob[];
  readonly finish?: Finish;
  readonly timings?: Timings;
}

export interface Generation {
  readonly engine: Engine;
  readonly sampler: Sampler;
  readonly tokenizer: Tokenizer | undefined;
  readonly eos: readonly number[];
}

/** Throws InputError before anything runs. */
export function checkGenerateOptions(o: GenerateOptions, vocab: number): void {
  checkSampleOptions(o);
  const whole = (name: string, v: number | undefined, low: number): void => {
    if (v !== undefined && (!Number.isInteger(v) || v < low)) {
      throw new InputError(
        'input/option',
        `${name} is ${v}: expected a whole number of at least ${low}`,
      );
    }
  };
  whole('maxTokens', o.maxTokens, 0);
  whole('logprobs', o.logprobs, 0);
  whole('chunk', o.chunk, 1);
  whole('key', o.key, 0);
  if (o.stop?.some((s) => s === '')) throw new InputError('input/option', 'a stop text is empty');
  const bad = o.stopTokens?.find((id) => !Number.isInteger(id) || id < 0 || id >= vocab);
  if (bad !== undefined)
    throw new InputError('input/id', `stop token ${bad} is outside the vocabulary of ${vocab}`);
}

/** Generates after what `sequence` holds once `prompt` is appended; the sequence then holds both. */
export async function* generateFrom(
  g: Generation,
  sequence: SequenceState,
  prompt: readonly number[],
  o: GenerateOptions,
): AsyncGenerator<Part, void, undefined> {
  const { engine, sampler } = g;
  const began = performance.now();
  const ends = new Set([...(o.stopTokens ?? []), ...(o.ignoreEos === true ? [] : g.eos)]);
  const most = o.maxTokens ?? 256;
  const context = engine.executor.limits.blocksPerSequence * engine.executor.limits.block;
  const text = makeText(g.tokenizer, o.stop ?? []);
  const seen = [...sequence.ids, ...prompt];
  let first = 0;
  let count = 0;
  let next = -1;
  let logprob: TokenLogprob | undefined;
  const onLogits = (_: number, logits: Float32Array): void => {
    next = sampler.sample(logits, o, seen, o.key ?? 0, seen.length);
    if (o.logprobs === undefined) return;
    logprob = {
      id: next,
      logprob: logProbability(logits, next),
      top: topLogProbabilities(logits, o.logprobs),
    };
  };
  const last = (finish: Finish): Part => {
    const now = performance.now();
    const after = now - began - first;
    return {
      text: finish === 'stop' ? '' : text.rest(),
      ids: [],
      finish,
      timings: {
        promptTokens: prompt.length,
        generatedTokens: count,
        firstTokenMs: first,
        totalMs: now - began,
        promptTokensPerSecond: first > 0 ? (1000 * prompt.length) / first : 0,
        tokensPerSecond: count > 1 && after > 0 ? (1000 * (count - 1)) / after : 0,
        memoryBytes: engine.executor.memoryBytes,
      },
    };
  };
  const aborted = (): boolean => o.signal?.aborted === true;
  if (aborted()) return yield last('abort');
  if (most === 0) return yield last('length');
  await engine.append(sequence, prompt, 'last', onLogits, o.chunk);
  first = performance.now() - began;
  for (;;) {
    count++;
    seen.push(next);
    if (ends.has(next)) {
      count--;
      return yield last(g.eos.includes(next) ? 'eos' : 'stop');
    }
    const piece = text.push(next);
    const part: Part = {
      text: piece.text,
      ids: [next],
      ...(logprob ? { logprobs: [logprob] } : {}),
    };
    yield part;
    if (piece.stopped) return yield last('stop');
    if (count === most) return yield last('length');
    if (aborted()) return yield last('abort');
    if (sequence.ids.length + 1 > context) return yield last('context');
    await engine.append(sequence, [next], 'last', onLogits);
  }
}

/** Text of tokens with stop texts cut off: what might become one is held back. */
function makeText(tokenizer: Tokenizer | undefined, stops: readonly string[]) {
  const stream = tokenizer?.stream();
  let held = '';
  const holdFrom = (): number => {
    for (
      let from = Math.max(0, held.length - Math.max(0, ...stops.map((s) => s.length)) + 1);
      from < held.length;
      from++
    ) {
      if (stops.some((s) => s.startsWith(held.slice(from)))) return from;
    }
    return held.length;
  };
  return {
    push(id: number): { readonly text: string; readonly stopped: boolean } {
      held += stream?.push(id) ?? '';
      const at = Math.min(...stops.map((s) => held.indexOf(s)).filter((i) => i >= 0));
      if (Number.isFinite(at)) {
        const text = held.slice(0, at);
        held = '';
        return { text, stopped: true };
      }
      const from = holdFrom();
      const text = held.slice(0, from);
      held = held.slice(from);
      return { text, stopped: false };
    },
    rest: (): string => {
      const text = held + (stream?.end() ?? '');
      held = '';
      return text;
    },
  };
}
