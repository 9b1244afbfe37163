/** A loaded model: generation, and below it sequences, logits and perplexity for own loops. */
import type { Executor, PassedOver } from './device.ts';
import { type Engine, type SequenceState, type Wanted, makeEngine } from './engine.ts';
import { InputError } from './errors.ts';
import {
  type GenerateOptions,
  type Part,
  type Prompt,
  checkGenerateOptions,
  generateFrom,
} from './generate.ts';
import type { Manifest } from './manifest.ts';
import { logProbability, makeSampler } from './sampler.ts';
import { restoreSnapshot, takeSnapshot } from './snapshot.ts';
import type { Message, Tokenizer } from './tokenizer.ts';

/** A sequence of tokens with its state in the cache. */
export interface Sequence {
  readonly ids: readonly number[];
  readonly length: number;
  /**
   * Appends ids and returns logits, [vocab] each: of the last one, of all, or none. Throws InputError
   * for ids outside the vocabulary and beyond the context, before anything runs.
   */
  append(
    ids: readonly number[],
    options?: { readonly logits?: Wanted; readonly chunk?: number },
  ): Promise<Float32Array[]>;
  /** Generates after what the sequence holds and `prompt`. */
  generate(
    prompt: readonly number[],
    options?: GenerateOptions,
  ): AsyncGenerator<Part, void, undefined>;
  /** Another sequence with the same tokens; blocks of the cache are shared until one is written. */
  fork(): Sequence;
  /** Drops all but the first `length` tokens. */
  rollback(length: number): void;
  /** The sequence as bytes; `model.restore` makes a sequence of them. */
  snapshot(): Promise<Uint8Array>;
  /** Gives its part of the cache back. */
  end(): void;
}

export interface LoadedModel {
  readonly name: string;
  readonly vocab: number;
  readonly context: number;
  readonly target: string;
  /** Targets that come before this one and do not run here, and why. */
  readonly passedOver: readonly PassedOver[];
  readonly threads: number;
  /** What the bundle says of itself: its sizes, the cost of a token; absent if it came from none. */
  readonly manifest: Manifest | undefined;
  readonly tokenizer: Tokenizer | undefined;
  /** Bytes held: weights, cache, activations. */
  readonly memoryBytes: number;
  /**
   * Streams text after a prompt: a text, token ids, or messages for the model's chat template.
   * Generations in flight at the same time share steps; none changes another's result.
   */
  generate(prompt: Prompt, options?: GenerateOptions): AsyncGenerator<Part, void, undefined>;
  sequence(): Sequence;
  /** Rejects with BundleError if the bytes are no snapshot of this model. */
  restore(snapshot: Uint8Array): Promise<Sequence>;
  /** Teacher-forced logits of every position, [ids.length][vocab]. */
  logits(ids: readonly number[]): Promise<Float32Array[]>;
  /** exp of the mean negative log-likelihood over windows of `context` inputs, each scored alone. */
  perplexity(
    text: string,
    context: number,
    onProgress?: (done: number, total: number) => void,
  ): Promise<{ readonly perplexity: number; readonly tokens: number }>;
  close(): void;
}

export interface ModelFacts {
  readonly name: string;
  readonly eos: readonly number[];
  readonly manifest?: Manifest;
  readonly passedOver?: readonly PassedOver[];
}

export function makeModel(
  executor: Executor,
  facts: ModelFacts,
  tokenizer: Tokenizer | undefined,
): LoadedModel {
  const engine = makeEngine(executor);
  const { limits } = executor;
  const sampler = makeSampler(limits.vocab);
  const generation = { engine, sampler, tokenizer, eos: facts.eos };

  const wrap = (s: SequenceState): Sequence => wrapSequence(engine, generation, s);
  return {
    name: facts.name,
    vocab: limits.vocab,
    context: limits.blocksPerSequence * limits.block,
    target: executor.target,
    passedOver: facts.passedOver ?? [],
    threads: executor.threads,
    manifest: facts.manifest,
    tokenizer,
    memoryBytes: executor.memoryBytes,
    async *generate(prompt, options = {}) {
      checkGenerateOptions(options, limits.vocab);
      const ids = await idsOf(prompt, tokenizer);
      const s = engine.create(options.key ?? 0);
      try {
        yield* generateFrom(generation, s, ids, options);
      } finally {
        engine.end(s);
      }
    },
    sequence: () => wrap(engine.create(0)),
    restore: async (bytes) => wrap(restoreSnapshot(engine, bytes)),
    async logits(ids) {
      const s = wrap(engine.create(0));
      try {
        return await s.append(ids, { logits: 'all' });
      } finally {
        s.end();
      }
    },
    perplexity: (text, context, onProgress) =>
      perplexity(engine, tokenizer, text, context, onProgress),
    close: () => engine.close(),
  };
}

function wrapSequence(
  engine: Engine,
  generation: Parameters<typeof generateFrom>[0],
  s: SequenceState,
): Sequence {
  return {
    ids: s.ids,
    get length() {
      return s.ids.length;
    },
    async append(ids, { logits = 'last', chunk } = {}) {
      const rows: Float32Array[] = [];
      await engine.append(s, ids, logits, (_, row) => rows.push(row.slice()), chunk);
      return rows;
    },
    async *generate(prompt, options = {}) {
      checkGenerateOptions(options, engine.executor.limits.vocab);
      yield* generateFrom(generation, s, prompt, options);
    },
    fork: () => wrapSequence(engine, generation, engine.fork(s, s.key)),
    rollback: (length) => engine.rollback(s, length),
    snapshot: () => takeSnapshot(engine, s),
    end: () => engine.end(s),
  };
}

async function idsOf(prompt: Prompt, tokenizer: Tokenizer | undefined): Promise<readonly number[]> {
  const ids = isIds(prompt) ? prompt : await encode(prompt, tokenizer);
  if (ids.length === 0) throw new InputError('input/empty', 'the prompt is empty');
  return ids;
}

const isIds = (p: Prompt): p is readonly number[] =>
  Array.isArray(p) && p.every((x: unknown) => typeof x === 'number');

async function encode(
  prompt: string | readonly Message[] | readonly number[],
  tokenizer: Tokenizer | undefined,
): Promise<readonly number[]> {
  if (!tokenizer) {
    throw new InputError(
      'input/tokenizer',
      'the bundle has no tokenizer: give the prompt as token ids',
    );
  }
  if (typeof prompt === 'string') return tokenizer.encode(prompt);
  const messages = prompt.filter((m) => typeof m === 'object');
  return tokenizer.encode(await tokenizer.chat(messages), { special: false });
}

async function perplexity(
  engine: Engine,
  tokenizer: Tokenizer | undefined,
  text: string,
  context: number,
  onProgress: ((done: number, total: number) => void) | undefined,
): Promise<{ readonly perplexity: number; readonly tokens: number }> {
  const ids = [...(await encodePlain(text, tokenizer))];
  const windows = Math.floor((ids.length - 1) / context);
  if (!Number.isInteger(context) || context < 1 || windows < 1) {
    throw new InputError(
      'input/option',
      `a text of ${ids.length} tokens has no window of ${context} inputs and the token after each`,
    );
  }
  let total = 0;
  for (let w = 0; w < windows; w++) {
    const s = engine.create(0);
    try {
      const from = w * context;
      await engine.append(s, ids.slice(from, from + context), 'all', (i, logits) => {
        total -= logProbability(logits, ids[from + i + 1] ?? 0);
      });
    } finally {
      engine.end(s);
    }
    onProgress?.(w + 1, windows);
  }
  return { perplexity: Math.exp(total / (windows * context)), tokens: windows * context };
}

async function encodePlain(
  text: string,
  tokenizer: Tokenizer | undefined,
): Promise<readonly number[]> {
  if (!tokenizer)
    throw new InputError('input/tokenizer', 'the bundle has no tokenizer to read a text with');
  return tokenizer.encode(text, { special: false });
}
