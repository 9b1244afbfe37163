/** The table: what is measured, against what, and what it must reach. Ratios in one interleaved run. */
import type { ModelName } from './models.ts';

/**
 * `native` and `wasm` are Cograph in Node, `chromium` is its wasm in a browser, where `wllama` runs too;
 * `onnxruntime` runs the model's matrices alone, in blocks of as many bits;
 * `wasm-peak` and `native-peak` are loops of byte dot products, stated as the prefill they would make.
 */
export type EngineName =
  | 'native'
  | 'wasm'
  | 'chromium'
  | 'llama.cpp'
  | 'wllama'
  | 'onnxruntime'
  | 'wasm-peak'
  | 'native-peak';

/** `best`: all numbers from 1 to the cores, doubling, are tried first, and the fastest is taken. */
export type Threads = number | 'all' | 'best';

interface Common {
  readonly name: string;
  readonly title: string;
  readonly model: ModelName;
}

/** Tokens per second of both; ours over theirs must reach `reach`. Without one the row is there to be read. */
export interface SpeedRow extends Common {
  readonly kind: 'decode' | 'prefill' | 'attention';
  readonly ours: EngineName;
  readonly theirs: EngineName;
  readonly threads: Threads;
  readonly theirThreads: Threads;
  readonly reach?: number;
  /** Share of the read bandwidth that weights must come in with. */
  readonly reachBandwidth?: number;
}

/** Seconds from load to the first token; ours over theirs must stay below `reach`. */
export interface LoadRow extends Common {
  readonly kind: 'load';
  readonly ours: 'native' | 'wasm';
  readonly reach: number;
}

/** Resident megabytes besides weights and KV. */
export interface MemoryRow extends Common {
  readonly kind: 'memory';
  readonly ours: 'native' | 'wasm';
  readonly reach: number;
}

/** Perplexity; ours over theirs must stay below `reach`. */
export interface PerplexityRow extends Common {
  readonly kind: 'perplexity';
  readonly ours: 'native' | 'wasm';
  readonly reach: number;
}

export type Row = SpeedRow | LoadRow | MemoryRow | PerplexityRow;

const short: Readonly<Record<string, string>> = {
  'llama-1b': '1b',
  'llama-150m': '150m',
  'qwen3moe-2gb': 'moe',
  bard: 'bard',
};
const titles: Readonly<Record<string, string>> = {
  'llama-1b': 'Llama-3.2-1B shape',
  'llama-150m': '150M Llama shape',
  'qwen3moe-2gb': 'Qwen3-MoE shape, 2 GB',
  bard: 'bard-qwen3',
};

function part(model: ModelName, table: Readonly<Record<string, string>>): string {
  const [shape = ''] = model.split(' ');
  return table[shape] ?? shape;
}
const typeOf = (model: ModelName): string => model.split(' ')[1] ?? '';

const threadText = (t: Threads): string =>
  t === 'all' ? 'all cores' : t === 'best' ? 'best threads' : t === 1 ? '1 thread' : `${t} threads`;
const threadName = (t: Threads): string => (typeof t === 'number' ? `${t}t` : t);

type Speed = Pick<SpeedRow, 'kind' | 'model' | 'threads'> & Partial<SpeedRow>;

/** Native code against llama.cpp unless said otherwise. */
function speed(row: Speed): SpeedRow {
  const { kind, model, threads, ours = 'native', theirs = 'llama.cpp' } = row;
  const type = typeOf(model);
  const place = ours === 'native' ? '' : `${ours}-`;
  const what = kind === 'attention' ? 'decode at 8k context' : kind;
  return {
    ours,
    theirs,
    theirThreads: threads === 'all' ? 'best' : threads,
    name: `${place}${part(model, short)}-${type.toLowerCase()}-${kind}-${threadName(threads)}`,
    title: `${part(model, titles)}, ${type}, ${what}, ${threadText(threads)}: ${ours} against ${theirs}`,
    ...row,
  };
}

const eachOf = <T, R>(all: readonly T[], f: (x: T) => R): readonly R[] => all.map(f);
const both = ['decode', 'prefill'] as const;

export const rows: readonly Row[] = [
  speed({ kind: 'decode', model: 'llama-1b Q4_0', threads: 1, reach: 1.2 }),
  speed({ kind: 'decode', model: 'llama-1b Q4_0', threads: 'all', reach: 1.05, reachBandwidth: 0.92 }), // prettier-ignore
  ...(['llama-1b Q8_0', 'llama-1b Q4_K'] as const).flatMap((model) =>
    eachOf([1, 2], (threads) => speed({ kind: 'decode', model, threads, reach: 1.05 })),
  ),
  ...(['llama-1b Q4_0', 'llama-1b Q8_0'] as const).flatMap((model) =>
    eachOf([1, 'all'] as const, (threads) =>
      speed({ kind: 'prefill', model, threads, reach: 1.3 }),
    ),
  ),
  ...eachOf(both, (kind) =>
    speed({ kind, model: 'qwen3moe-2gb Q4_0', threads: 'all', reach: 1.1 }),
  ),
  ...eachOf(['llama-150m Q8_0', 'llama-150m Q4_0'] as const, (model) =>
    speed({ kind: 'decode', model, threads: 'best', reach: 1.3 }),
  ),
  speed({ kind: 'decode', model: 'llama-150m BF16', threads: 'best' }),
  ...(['llama-150m Q4_0', 'llama-150m Q8_0'] as const).flatMap((model) =>
    eachOf(both, (kind) => ({
      ...speed({ kind, model, threads: 1, theirs: 'onnxruntime' }),
      name: `onnx-150m-${typeOf(model).toLowerCase()}-${kind}-1t`,
      title: `150M Llama shape, ${typeOf(model)}, ${kind}, 1 thread: native against onnxruntime with the matrices alone`,
    })),
  ),
  ...eachOf(['bard F16', 'bard F32', 'bard Q8_0'] as const, (model) =>
    speed({ kind: 'decode', model, threads: 'best', reach: 2 }),
  ),
  ...(['llama-150m Q8_0', 'llama-150m Q4_0'] as const).flatMap((model) =>
    both.flatMap((kind) =>
      eachOf(
        [1, 'all'] as const,
        (threads) =>
        speed({ kind, model, threads, theirThreads: threads, ours: 'chromium', theirs: 'wllama', reach: 4 }), // prettier-ignore
      ),
    ),
  ),
  speed({ kind: 'decode', model: 'llama-150m BF16', threads: 1, ours: 'chromium', theirs: 'wllama' }), // prettier-ignore
  ...both.flatMap((kind) =>
    eachOf(
      [1, 'all'] as const,
      (threads) =>
      speed({ kind, model: 'llama-1b Q4_0', threads, theirThreads: threads, ours: 'chromium', theirs: 'wllama', reach: 3 }), // prettier-ignore
    ),
  ),
  ...(['llama-150m Q8_0', 'llama-150m Q4_0'] as const).flatMap((model) =>
    ([1, 'all'] as const).flatMap((threads) => [
      speed({ kind: 'decode', model, threads, theirThreads: threads, ours: 'wasm', theirs: 'native', reach: 0.6 }), // prettier-ignore
      speed({ kind: 'prefill', model, threads, theirThreads: threads, ours: 'wasm', theirs: 'wasm-peak', reach: 0.5 }), // prettier-ignore
    ]),
  ),
  ...eachOf(['llama-150m Q8_0', 'llama-150m Q4_0'] as const, (model) => ({
    ...speed({ kind: 'prefill', model, threads: 1, theirs: 'native-peak' }),
    name: `peak-${part(model, short)}-${typeOf(model).toLowerCase()}-prefill-1t`,
  })),
  speed({ kind: 'attention', model: 'llama-150m Q4_0', threads: 'all', reach: 1 }),
  {
    kind: 'load',
    ours: 'native',
    name: 'load-1b-q4_0',
    title: 'from load to the first token of a 32-token prompt, Llama-3.2-1B shape, Q4_0, all cores',
    model: 'llama-1b Q4_0',
    reach: 0.7,
  },
  {
    kind: 'memory',
    ours: 'native',
    name: 'memory-1b-q4_0',
    title: 'resident memory in decode besides weights and KV, Llama-3.2-1B shape, Q4_0',
    model: 'llama-1b Q4_0',
    reach: 120,
  },
  ...(['bard Q8_0', 'bard Q4_0', 'bard F16'] as const).flatMap((model) =>
    eachOf(['native', 'wasm'] as const, (ours) => ({
      kind: 'perplexity' as const,
      name: `perplexity-${typeOf(model).toLowerCase()}-${ours}`,
      title: `perplexity of bard-qwen3 as ${typeOf(model)}, ${ours}, same KV type`,
      model,
      ours,
      reach: 1.001,
    })),
  ),
];
