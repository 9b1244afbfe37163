/** How each engine of a row is started, and with what settings it is tried. */
import { availableParallelism } from 'node:os';
import { unreachable } from '../../compiler/base/invariant.ts';
import { type Engine, startProcess } from './engine.ts';
import type { ModelFile } from './models.ts';
import { writeOnnx } from './onnx.ts';
import { startPeak } from './peaks.ts';
import { bundleOf, compiledRuntime } from './product.ts';
import type { EngineName, Threads } from './rows.ts';
import type { Tools } from './tools.ts';
import type { Browser } from './browser.ts';

/** An engine with its settings; started it has loaded nothing yet. */
export interface Candidate {
  readonly name: string;
  readonly threads: number;
  start(): Promise<Engine>;
}

export interface Setting {
  readonly file: ModelFile;
  /** Longest sequence in tokens. */
  readonly context: number;
  readonly tools: Tools;
  /** Opened by the first candidate that runs in it. */
  readonly browser: () => Promise<Browser>;
}

export const cores = availableParallelism();

function threadCounts(threads: Threads): readonly number[] {
  if (typeof threads === 'number') return [threads];
  if (threads === 'all') return [cores];
  const doubled = Array.from({ length: Math.ceil(Math.log2(cores)) }, (_, i) => 2 ** i);
  return [...doubled, cores];
}

/** With several candidates the fastest is to be found. */
export async function candidatesOf(
  engine: EngineName,
  threads: Threads,
  setting: Setting,
): Promise<readonly Candidate[]> {
  const { file, context, tools } = setting;
  const counts = threadCounts(threads);
  const text = (t: number): string => `${t} thread${t === 1 ? '' : 's'}`;
  switch (engine) {
    case 'native':
    case 'wasm': {
      const path = await bundleOf(file.path, engine, tools);
      const runtime = compiledRuntime(tools.cache);
      return counts.map((t) => {
        const name = `Cograph ${engine}, ${text(t)}`;
        const options = { runtime, path, target: engine, threads: t, context };
        return {
          name,
          threads: t,
          start: () => Promise.resolve(startProcess(name, 'cograph.mjs', options, tools)),
        };
      });
    }
    case 'llama.cpp':
      return counts.flatMap((t) =>
        [true, false].map((flash) => {
          const name = `llama.cpp, ${text(t)}, flash attention ${flash ? 'on' : 'off'}`;
          const options = { path: file.path, threads: t, context, flash };
          return {
            name,
            threads: t,
            start: () => Promise.resolve(startProcess(name, 'llama-cpp.mjs', options, tools)),
          };
        }),
      );
    case 'chromium': {
      const path = await bundleOf(file.path, 'wasm', tools);
      return counts.map((t) => {
        const name = `Cograph wasm in Chromium, ${text(t)}`;
        const start = async (): Promise<Engine> =>
          (await setting.browser()).engine(name, 'cograph', path, { threads: t, context });
        return { name, threads: t, start };
      });
    }
    case 'wllama':
      return counts.flatMap((t) =>
        [true, false].map((flash) => {
          const name = `wllama, ${text(t)}, flash attention ${flash ? 'on' : 'off'}`;
          const options = { threads: t, context, flash };
          const start = async (): Promise<Engine> =>
            (await setting.browser()).engine(name, 'wllama', file.path, options);
          return { name, threads: t, start };
        }),
      );
    case 'onnxruntime': {
      const { shape, type } = file;
      const bits = type === 'Q4_0' ? 4 : type === 'Q8_0' ? 8 : undefined;
      if (shape === undefined || bits === undefined) throw new Error(`no ${type} as ONNX`);
      const path = writeOnnx({ shape, bits }, file.path.replace(/\.gguf$/, '.onnx'));
      return counts.map((t) => {
        const name = `onnxruntime, matrices alone, int${bits}, ${text(t)}`;
        const options = { path, threads: t, width: shape.width };
        return {
          name,
          threads: t,
          start: () => Promise.resolve(startProcess(name, 'onnxruntime.mjs', options, tools)),
        };
      });
    }
    case 'wasm-peak':
    case 'native-peak':
      return counts.map((t) => {
        const name = `peak of byte dot products, ${engine === 'wasm-peak' ? 'wasm' : 'native'}, ${text(t)}`;
        return { name, threads: t, start: () => startPeak(name, engine, t, file, tools) };
      });
    default:
      return unreachable(engine);
  }
}
