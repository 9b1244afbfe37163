/** Programs and their weights as a bundle folder. */
import {
  type FileEntry,
  type Manifest,
  type TunedSchedule,
  manifestVersion,
} from '../../runtime/manifest.ts';
import { invariant, present } from '../base/invariant.ts';
import { nameAt } from '../2-model/model.ts';
import type { BoundWeights } from '../2-model/bind-weights.ts';
import { costOf } from '../3-graph/cost.ts';
import type { Graph } from '../3-graph/graph.ts';
import type { Program } from '../6-program/program.ts';
import type { LlvmVariant } from '../7-emit/llvm.ts';
import { type NativeTools, nativeVariants } from '../7-emit/native.ts';
import { blockEntries } from '../5-kernel/state-rows.ts';
import { packedBytes } from '../5-kernel/packed.ts';
import { type Checkpoint, readCompanion } from './checkpoint.ts';
import { type Files, joinFile } from './files.ts';
import {
  type NativePrograms,
  type WriteOptions,
  writeNative,
  writeWasm,
  writeWebGpu,
} from './programs.ts';
import { splitTokenizer } from './vocabulary.ts';
import { page, streamWeights } from './weights.ts';

/** What a bundle takes from beside the model. */
export interface BundleSource {
  /** Version of the compiler, for the manifest. */
  readonly compiler: string;
  /** What makes native code; only that target needs it. */
  readonly native?: NativeTools;
  /** The machines that native code is made for; all there are unless given. */
  readonly variants?: readonly LlvmVariant[];
}

/** The step for each target; all place weights and states alike, for there is one copy of them. */
export interface BundlePrograms {
  readonly wasm?: Program;
  readonly native?: NativePrograms;
  readonly webgpu?: Program;
}

export interface BundleOptions extends BundleSource, WriteOptions {
  /** Schedules of programs that are not their machines' own, for the manifest. */
  readonly schedules?: Readonly<Record<'wasm' | 'native', readonly TunedSchedule[]>>;
  readonly vocab: number;
  readonly context?: number;
  readonly bos?: number;
  readonly eos: readonly number[];
  readonly graph: Graph;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Written under a temporary name and moved into place; nothing is left behind on failure. */
export async function writeBundle(
  programs: BundlePrograms,
  weights: BoundWeights,
  checkpoint: Checkpoint,
  files: Files,
  out: string,
  options: BundleOptions,
): Promise<void> {
  const folder = out.replace(/\/+$/, '');
  const partial = `${folder}.partial-${Math.random().toString(36).slice(2, 10)}`;
  try {
    await writeAll(programs, weights, checkpoint, files, partial, options);
    options.signal?.throwIfAborted();
    await files.replace(partial, folder);
  } catch (e) {
    await files.remove(partial);
    throw e;
  }
}

async function writeAll(
  programs: BundlePrograms,
  weights: BoundWeights,
  checkpoint: Checkpoint,
  files: Files,
  folder: string,
  options: BundleOptions,
): Promise<void> {
  const program = commonOf(programs);
  const entries: Record<string, FileEntry> = {};
  const putHashed = async (name: string, bytes: Uint8Array, hash: string): Promise<string> => {
    entries[name] = { bytes: bytes.byteLength, sha256: hash };
    await files.write(joinFile(folder, name), bytes);
    return name;
  };
  const put = async (name: string, bytes: Uint8Array): Promise<string> =>
    putHashed(name, bytes, await sha256(bytes));
  const text = (s: string): Uint8Array => new TextEncoder().encode(s);
  const wasm = programs.wasm && (await writeWasm(programs.wasm, put, options));
  const native =
    programs.native &&
    (await writeNative(
      programs.native,
      present(options.native, 'native tools'),
      options.variants ?? nativeVariants,
      put,
      options,
    ));
  const webgpu = programs.webgpu && (await writeWebGpu(programs.webgpu, put, options));
  options.onStep?.('weights');
  const shards: Manifest['weights']['shards'][number][] = [];
  const sink = async (bytes: Uint8Array, offset: number): Promise<void> => {
    const hash = await sha256(bytes);
    const file = await putHashed(`weights/${hash.slice(0, 24)}.bin`, bytes, hash);
    shards.push({ file, offset, bytes: bytes.byteLength });
  };
  await streamWeights(program, weights, checkpoint, files, sink, options);
  const tokenizer = await copyTokenizer(checkpoint, files, put);
  await put('index.js', text(indexModule));
  await put('index.d.ts', text(indexTypes));
  const decode = costOf(options.graph, { tokens: 1, rows: 1, keys: 1 });
  const manifest: Manifest = {
    format: 'cograph-bundle',
    version: manifestVersion,
    name: program.name,
    compiler: options.compiler,
    model: {
      vocab: options.vocab,
      ...(options.context === undefined ? {} : { context: options.context }),
      ...(options.bos === undefined ? {} : { bos: options.bos }),
      eos: options.eos,
      parameters: program.weights.reduce(
        (n, w) => n + w.count * w.shape.reduce((a, b) => a * b, 1),
        0,
      ),
    },
    files: entries,
    weights: {
      bytes: Math.ceil(program.memory.weightBytes / page) * page,
      shards,
      parts: partsOf(program),
    },
    cache: {
      block: blockEntries,
      bytesPerSlot: program.memory.stateBytesPerSlot,
      states: program.states.map(({ name, bytes, offset, count, stride }) => ({
        name,
        bytes,
        offset,
        count,
        stride,
      })),
    },
    programs: {
      ...(wasm ? { wasm: { ...wasm, ...tunedIn(options.schedules?.wasm) } } : {}),
      ...(native ? { native: { ...native, ...tunedIn(options.schedules?.native) } } : {}),
      ...(webgpu ? { webgpu } : {}),
    },
    ...(tokenizer ? { tokenizer } : {}),
    cost: { flopsPerToken: decode.flops, weightBytesPerToken: decode.weightBytes },
  };
  await files.write(
    joinFile(folder, 'manifest.json'),
    text(`${JSON.stringify(manifest, null, 1)}\n`),
  );
}

const tunedIn = (schedules: readonly TunedSchedule[] = []) =>
  schedules.length === 0 ? {} : { schedules };

/** What all programs agree on: one of them, to read weights and states from. */
function commonOf({ wasm, native, webgpu }: BundlePrograms): Program {
  const all = [wasm, webgpu, ...Object.values(native ?? {})].filter((p) => p !== undefined);
  const common = present(all[0], 'a program');
  const places = ({ memory, weights, states }: Program): string =>
    JSON.stringify([memory.weightBytes, weights, memory.stateBytesPerSlot, states]);
  invariant(
    all.every((p) => places(p) === places(common)),
    'the programs of a bundle place weights or states differently',
  );
  return common;
}

const partsOf = (program: Program): Manifest['weights']['parts'] =>
  program.weights.flatMap(({ name, dtype, shape, layout, offset, count, stride }) =>
    Array.from({ length: count }, (_, i) => ({
      name: nameAt(name, i),
      dtype,
      shape,
      offset: offset + i * stride,
      bytes: packedBytes(shape, dtype, layout),
    })),
  );

async function copyTokenizer(
  checkpoint: Checkpoint,
  files: Files,
  put: (name: string, bytes: Uint8Array) => Promise<string>,
): Promise<Manifest['tokenizer']> {
  const copy = async (name: string): Promise<string | undefined> => {
    const bytes = await readCompanion(files, checkpoint, name);
    return bytes && put(name, bytes);
  };
  const bytes = await readCompanion(files, checkpoint, 'tokenizer.json');
  if (bytes === undefined) return undefined;
  const file = await put('tokenizer.json', bytes);
  const split = splitTokenizer(new TextDecoder().decode(bytes));
  const config = await copy('tokenizer_config.json');
  const chatTemplate = await copy('chat_template.jinja');
  return {
    file,
    ...(config === undefined ? {} : { config }),
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
    ...(split === undefined
      ? {}
      : {
          rules: await put('tokenizer.rules.json', new TextEncoder().encode(split.rules)),
          vocabulary: await put('vocabulary.bin', split.vocabulary),
        }),
  };
}

export async function sha256(bytes: Uint8Array): Promise<string> {
  // Digests want memory of their own kind of buffer.
  const own =
    bytes.buffer instanceof ArrayBuffer
      ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      : new Uint8Array(bytes);
  const digest = await globalThis.crypto.subtle.digest('SHA-256', own);
  return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, '0')).join('');
}

const indexModule = `import { load } from 'cograph/runtime';

/** The model in this folder, loaded when first asked for. */
const open = (options) => load(new URL('./', import.meta.url), options);
export default open;
`;

const indexTypes = `import type { LoadOptions, LoadedModel } from 'cograph/runtime';

/** The model in this folder. */
declare const open: (options?: LoadOptions) => Promise<LoadedModel>;
export default open;
`;
