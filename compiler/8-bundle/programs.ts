/** A program as files of a bundle, for each target. */
import type { NativeProgram, StepSizes, WasmProgram } from '../../runtime/manifest.ts';
import { invariant, present } from '../base/invariant.ts';
import type { Program } from '../6-program/program.ts';
import { type LlvmVariant, emitLlvm } from '../7-emit/llvm.ts';
import { type NativeTools, archOf, libraryFile } from '../7-emit/native.ts';
import { assembleWasm, emitWasm } from '../7-emit/wasm.ts';

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

export async function writeWasm(
  program: Program,
  put: Put,
  { onStep, signal }: WriteOptions,
): Promise<WasmProgram> {
  const variants: WasmProgram['variants'][number][] = [];
  onStep?.('WebAssembly');
  for (const relaxed of [true, false]) {
    for (const threads of [true, false]) {
      signal?.throwIfAborted();
      const bytes = await assembleWasm(emitWasm(program, { threads, relaxed }), program.name);
      const name = `step${threads ? '.threads' : ''}${relaxed ? '.relaxed' : ''}.wasm`;
      variants.push({ file: await put(name, bytes), threads, relaxed });
    }
  }
  return { variants, ...sizesOf(program) };
}

/** A step for each kind of processor that a variant is for. */
export type NativePrograms = Readonly<Partial<Record<ReturnType<typeof archOf>, Program>>>;

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
    present(programs[archOf(v)], `a program for ${v.isa}`);
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
