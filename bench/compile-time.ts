/** How long compiling takes without its weights: the checkpoint is a header whose data nobody reads. */
import { compileProgram } from '../compiler/compile.ts';
import { readSafetensors } from '../compiler/8-bundle/safetensors.ts';
import type { Files } from '../compiler/8-bundle/files.ts';
import { assembleWasm, emitWasm } from '../compiler/7-emit/wasm.ts';
import { modelOf } from '../stdlib/index.ts';
import { configOf, headerOf, llama1b, parametersOf } from './checkpoints.ts';
import { median } from './statistics.ts';

export interface CompileResult {
  readonly layers: number;
  readonly parameters: number;
  readonly seconds: number;
}

const variants = [true, false].flatMap((relaxed) =>
  [true, false].map((threads) => ({ relaxed, threads, memory64: false })),
);

/** Everything that `compile` does but reading, packing and writing weights. */
export async function benchCompile(layers: number, rounds: number): Promise<CompileResult> {
  const shape = llama1b(layers);
  const header = headerOf(shape);
  const size = header.byteLength + 2 * parametersOf(shape);
  const unused = () => Promise.reject(new Error('nothing is written here'));
  const files: Files = {
    size: () => Promise.resolve(size),
    read: (_, from, length) => Promise.resolve(header.subarray(from, from + length)),
    write: unused,
    replace: unused,
    remove: unused,
  };
  const took: number[] = [];
  for (let r = 0; r < rounds; r++) {
    const began = performance.now();
    const tensors = await readSafetensors(files, 'model.safetensors');
    const { program } = compileProgram(modelOf(configOf(shape)), { folder: '', tensors });
    for (const v of variants) await assembleWasm(emitWasm(program, v));
    took.push(performance.now() - began);
  }
  return { layers, parameters: parametersOf(shape), seconds: median(took) / 1000 };
}
