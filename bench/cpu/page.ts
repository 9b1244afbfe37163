/**
 * The page that measures on request, Cograph and wllama side by side: engines by number, the requests of
 * `peers/protocol.mjs`. Cograph's bundle comes from the page's own server; wllama wants files, which the
 * browser is handed as if a user had chosen them, so that no copy of a large one is made.
 */
import { load } from '../../runtime/index.ts';
import type { LoadedModel } from '../../runtime/index.ts';

interface Options {
  readonly threads: number;
  readonly context: number;
  readonly flash?: boolean;
}

interface Request {
  readonly do: string;
  readonly prompt?: number;
  readonly tokens?: number;
}

type Answer = Readonly<Record<string, unknown>>;
type Ask = (request: Request) => Promise<Answer>;

interface Opened {
  ask: Ask;
  close(): Promise<void>;
}

/** What is used of wllama; the page loads it from its package, unbundled. */
interface Wllama {
  loadModel(files: readonly Blob[], options: Readonly<Record<string, unknown>>): Promise<void>;
  createCompletion(options: Readonly<Record<string, unknown>>): Promise<AsyncIterable<Chunk>>;
  getNumThreads(): number;
  exit(): Promise<void>;
}
interface Chunk {
  readonly choices: readonly { readonly finish_reason: string | null }[];
  readonly timings?: Readonly<Record<string, number>>;
}

const engines = new Map<number, Opened>();

const promptOf = (tokens: number): number[] =>
  Array.from({ length: tokens }, (_, i) => 3 + ((i * 37) % 256));

/** wllama takes texts: without small letters they are one token a byte, and one begins them. */
const textOf = (tokens: number): string => {
  const bytes = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
  return Array.from({ length: tokens - 1 }, (_, i) => bytes[(i * 7) % bytes.length]).join('');
};

const rate = (tokens: number, ms: number): Answer => ({
  tokens,
  seconds: ms / 1000,
  tokensPerSecond: (1000 * tokens) / ms,
});

async function cograph(place: string, { threads, context }: Options): Promise<Opened> {
  const model: LoadedModel = await load(place, {
    target: 'wasm',
    threads,
    context,
    capacity: context,
  });
  if (model.threads !== threads) throw new Error(`${model.threads} threads instead of ${threads}`);
  return {
    async ask(request) {
      const { tokens = 0, prompt = tokens } = request;
      if (request.do === 'prefill') {
        const s = model.sequence();
        const from = performance.now();
        await s.append(promptOf(tokens), { logits: 'last' });
        const ms = performance.now() - from;
        s.end();
        return rate(tokens, ms);
      }
      const options = { maxTokens: tokens + 1, greedy: true, ignoreEos: true };
      let [first, last, count] = [0, 0, 0];
      for await (const part of model.generate(promptOf(prompt), options)) {
        if (part.ids.length === 0) continue;
        last = performance.now();
        if (count === 0) first = last;
        count += part.ids.length;
      }
      return rate(count - 1, last - first);
    },
    close() {
      model.close();
      return Promise.resolve();
    },
  };
}

async function wllama(file: Blob, { threads, context, flash }: Options): Promise<Opened> {
  const path = '/wllama/index.js';
  const { Wllama: make } = (await import(path)) as {
    Wllama: new (paths: Readonly<Record<string, string>>, options: unknown) => Wllama;
  };
  const engine = new make({ default: '/wllama/wasm/wllama.wasm' }, { suppressNativeLog: false });
  await engine.loadModel([file], {
    n_threads: threads,
    n_ctx: context,
    n_batch: 512,
    n_ubatch: 512,
    n_gpu_layers: 0,
    flash_attn: flash,
    n_parallel: 1,
  });
  if (engine.getNumThreads() !== threads)
    throw new Error(`${engine.getNumThreads()} threads instead of ${threads}`);
  return {
    /**
     * Its own clock counts, which leaves out the way of its tokens to the page: to its favour. The first
     * token is that of the prompt.
     */
    async ask(request) {
      const { tokens = 0, prompt = tokens } = request;
      const stream = await engine.createCompletion({
        prompt: textOf(prompt),
        max_tokens: request.do === 'prefill' ? 1 : tokens + 1,
        temperature: 0,
        ignore_eos: true,
        cache_prompt: false,
        stream: true,
        timings_per_token: true,
      });
      let timings: Readonly<Record<string, number>> = {};
      for await (const chunk of stream) timings = chunk.timings ?? timings;
      const count = (key: string): number => timings[key] ?? NaN;
      if (count('prompt_n') !== prompt)
        throw new Error(`a prompt of ${count('prompt_n')} tokens instead of ${prompt}`);
      if (request.do === 'prefill') return rate(count('prompt_n'), count('prompt_ms'));
      // Its clock starts when the first token is there.
      return rate(count('predicted_n') - 1, count('predicted_ms'));
    },
    close: () => engine.exit(),
  };
}

/** Called by the driver. */
const page = {
  async open(
    id: number,
    kind: 'cograph' | 'wllama',
    place: string,
    options: Options,
  ): Promise<Answer> {
    const from = performance.now();
    const input = document.querySelector<HTMLInputElement>(`#file${id}`);
    const file = input?.files?.[0];
    if (kind === 'cograph') engines.set(id, await cograph(place, options));
    else if (file) engines.set(id, await wllama(file, options));
    else throw new Error('no file was handed over');
    return { seconds: (performance.now() - from) / 1000 };
  },
  ask: (id: number, request: Request): Promise<Answer> => engineOf(id).ask(request),
  async close(id: number): Promise<void> {
    await engineOf(id).close();
    engines.delete(id);
  },
  /** A place for a file. */
  input(id: number): void {
    const input = document.createElement('input');
    input.type = 'file';
    input.id = `file${id}`;
    document.body.append(input);
  },
};

function engineOf(id: number): Opened {
  const engine = engines.get(id);
  if (!engine) throw new Error('the engine is not open');
  return engine;
}

Object.assign(globalThis, { page });
