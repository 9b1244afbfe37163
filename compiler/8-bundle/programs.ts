/** A program as files of a bundle, for each target. */
import {
  type NativeProgram,
  type StepSizes,
  type WasmProgram,
  type WebGpuProgram,
  wasmReach,
} from '../../runtime/manifest.ts';
import { invariant, present } from '../base/invariant.ts';
import type { Program } from '../6-program/program.ts';
import { type LlvmVariant, emitLlvm } from '../7-emit/llvm.ts';
import { type NativeTools, libraryFile } from '../7-emit/native.ts';
import { bindProgram } from '../7-emit/wgsl-bindings.ts';
import { emitWgsl, gpuStep, multipliesBytes } from '../7-emit/wgsl.ts';
import { type WasmOptions, assembleWasm, emitWasm } from '../7-emit/wasm.ts';

/** Stores a file of the bundle and gives its name. */
export type Put = (name: string, bytes: Uint8Array) => Promise<string>;

export interface WriteOptions {
  /** Told what is begun, in words. */
  readonly onStep?: (what: string) => void;
  readonly signal?: AbortSignal;
}

const sizesOf = ({ limits, memory, output }: Program): StepSizes => ({
  limits,
  arenaBytes: memory.arenaBytes,
  scratchBytes: memory.scratchBytes,
  output,
});

/** Positions counted for a model that says nothing of its own. */
const plainContext = 4096;
/** Bytes left for what grows with threads and cache: scratch, block tables, positions. */
const restBytes = 2 ** 28;

/**
 * Variants of wasm for a model, in order of preference. Those with 64-bit addresses are there where
 * weights, activations, a cache of twice the model's context and 256 MiB for the rest are more than
 * 32 bits reach; those with 32-bit addresses where these reach the weights.
 */
export function wasmVariants(
  { weightBytes, arenaBytes, stateBytesPerSlot }: Program['memory'],
  context = plainContext,
): readonly WasmOptions[] {
  const most = weightBytes + arenaBytes + 2 * context * stateBytesPerSlot + restBytes;
  const widths = [
    ...(weightBytes < wasmReach.narrow ? [false] : []),
    ...(most > wasmReach.narrow ? [true] : []),
  ];
  return widths.flatMap((memory64) =>
    [true, false].flatMap((relaxed) =>
      [true, false].map((threads) => ({ threads, relaxed, memory64 })),
    ),
  );
}

/** `context`: positions that the model was made for. */
export async function writeWasm(
  program: Program,
  put: Put,
  { onStep, signal, context }: WriteOptions & { readonly context?: number },
): Promise<WasmProgram> {
  const variants: WasmProgram['variants'][number][] = [];
  onStep?.('WebAssembly');
  for (const options of wasmVariants(program.memory, context)) {
    signal?.throwIfAborted();
    const { threads, relaxed, memory64 } = options;
    const bytes = await assembleWasm(emitWasm(program, options), program.name);
    const parts = [memory64 && 'memory64', threads && 'threads', relaxed && 'relaxed'];
    const name = ['step', ...parts.filter(Boolean), 'wasm'].join('.');
    const file = await put(name, bytes);
    variants.push({ file, threads, relaxed, ...(memory64 ? { memory64 } : {}) });
  }
  return { variants, ...sizesOf(program) };
}

/** One module, and one more with packed products of bytes where there are any. */
export async function writeWebGpu(
  program: Program,
  put: Put,
  { onStep, signal }: WriteOptions,
): Promise<WebGpuProgram> {
  onStep?.('WebGPU');
  const bound = bindProgram(program);
  const variants: WebGpuProgram['variants'][number][] = [];
  for (const dot4 of multipliesBytes(bound) ? [true, false] : [false]) {
    signal?.throwIfAborted();
    const text = emitWgsl(program.name, bound, { dot4 });
    const name = dot4 ? 'step.dot4.wgsl' : 'step.wgsl';
    variants.push({ file: await put(name, new TextEncoder().encode(text)), dot4 });
  }
  return { variants, ...gpuStep(bound), ...sizesOf(program) };
}

/** A step for each instruction set that a variant is for. */
export type NativePrograms = Readonly<Partial<Record<LlvmVariant['isa'], Program>>>;

/** Builds that run beside each other: each takes a core and a few hundred MB. */
const atOnce = 2;

/** Throws what `tools` throws. */
export async function writeNative(
  programs: NativePrograms,
  tools: NativeTools,
  wanted: readonly LlvmVariant[],
  put: Put,
  { onStep, signal }: WriteOptions,
): Promise<NativeProgram> {
  const programFor = (v: LlvmVariant): Program =>
    present(programs[v.isa], `a program for ${v.isa}`);
  const libraries = await mapFew(wanted, atOnce, async (v, i) => {
    signal?.throwIfAborted();
    onStep?.(`native code for ${v.os}, ${v.isa} (${i + 1} of ${wanted.length})`);
    const object = await tools.object(emitLlvm(programFor(v), v), v, signal);
    return tools.link(object, v, signal);
  });
  // Stored in order: the manifest must not tell which build was done first.
  const variants: (LlvmVariant & { readonly file: string })[] = [];
  for (const [i, { os, isa }] of wanted.entries()) {
    const file = await put(libraryFile({ os, isa }), present(libraries[i]));
    variants.push({ file, os, isa });
  }
  const sizes = [...new Set(wanted.map(programFor))].map(sizesOf);
  const scratchBytes = Math.max(...sizes.map((s) => s.scratchBytes));
  const [first, ...others] = sizes.map((s) => ({ ...s, scratchBytes }));
  invariant(
    others.every((s) => JSON.stringify(s) === JSON.stringify(first)),
    'native programs differ in more than their scratch',
  );
  return { variants, ...present(first, 'a variant') };
}

/** `work` of all items, in their order. Once one fails none is begun; the first failure is thrown when all have ended. */
async function mapFew<T, R>(
  items: readonly T[],
  most: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  const left = items.entries();
  let failed = false;
  const worker = async (): Promise<void> => {
    for (const [i, item] of left) {
      if (failed) return;
      try {
        results[i] = await work(item, i);
      } catch (e) {
        failed = true;
        throw e;
      }
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: most }, worker));
  for (const e of ended) if (e.status === 'rejected') throw e.reason;
  return results;
}
