/** The wasm target: chooses a variant, fills the memory, runs steps. */
import type { Executor, ExecutorOptions, StepBatch } from '../device.ts';
import { DeviceError } from '../errors.ts';
import { type Manifest, type WasmProgram, control } from '../manifest.ts';
import { type MemoryMap, mapMemory } from './layout.ts';
import { type Team, aloneTeam, makeTeam } from './team.ts';

export interface OpenOptions {
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * An executor for the bundle's wasm program. `files` returns a file of the bundle, its hash checked.
 * Throws DeviceError where the bundle has no wasm program or the memory does not suffice.
 */
export async function openWasm(
  manifest: Manifest,
  files: (path: string) => Promise<Uint8Array>,
  options: ExecutorOptions,
  { onProgress, signal }: OpenOptions = {},
): Promise<Executor> {
  const program = manifest.programs.wasm;
  if (!program)
    throw new DeviceError(
      'device/target',
      'the bundle has no wasm program: compile it with --target wasm',
    );
  const canShare = typeof SharedArrayBuffer !== 'undefined';
  const threads = canShare ? options.threads : 1;
  const map = mapMemory(manifest, program, { ...options, threads });
  const module = await chooseVariant(program, threads > 1, files);
  const memory = allocate(map, threads > 1);
  await loadWeights(manifest, map, memory, files, onProgress, signal);
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const { step } = instance.exports;
  if (typeof step !== 'function')
    throw new DeviceError('device/program', 'the program has no step');
  const run = step as (thread: number) => void; // exported so by the compiler
  writeControl(map, memory, program, threads);
  const team = threads > 1 ? await makeTeam(threads, module, memory, run) : aloneTeam(run);
  return makeExecutor(manifest, program, map, memory, threads, team);
}

async function chooseVariant(
  program: WasmProgram,
  shared: boolean,
  files: (path: string) => Promise<Uint8Array>,
): Promise<WebAssembly.Module> {
  await allowRelaxedSimd();
  for (const v of program.variants) {
    if (v.threads !== shared) continue;
    const bytes = new Uint8Array(await files(v.file));
    if (WebAssembly.validate(bytes)) return WebAssembly.compile(bytes);
  }
  throw new DeviceError(
    'device/program',
    'no variant of the wasm program runs here: SIMD is needed',
  );
}

/** Node 20 has relaxed SIMD behind a flag that may be set until the first module is compiled. */
async function allowRelaxedSimd(): Promise<void> {
  if (typeof process === 'undefined' || !process.versions?.node?.startsWith('20.')) return;
  const v8 = await import('node:v8');
  v8.setFlagsFromString('--experimental-wasm-relaxed-simd');
}

function allocate(map: MemoryMap, shared: boolean): WebAssembly.Memory {
  const pages = Math.ceil(map.bytes / 65_536);
  try {
    return shared
      ? new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
      : new WebAssembly.Memory({ initial: pages });
  } catch {
    throw new DeviceError(
      'device/memory',
      `${Math.ceil(map.bytes / 2 ** 20)} MiB of memory are not to be had here`,
    );
  }
}

async function loadWeights(
  manifest: Manifest,
  map: MemoryMap,
  memory: WebAssembly.Memory,
  files: (path: string) => Promise<Uint8Array>,
  onProgress: OpenOptions['onProgress'],
  signal: AbortSignal | undefined,
): Promise<void> {
  const all = new Uint8Array(memory.buffer);
  for (const shard of manifest.weights.shards) {
    signal?.throwIfAborted();
    all.set(await files(shard.file), map.weights + shard.offset);
    onProgress?.(shard.offset + shard.bytes, manifest.weights.bytes);
  }
}

function writeControl(
  map: MemoryMap,
  memory: WebAssembly.Memory,
  program: WasmProgram,
  threads: number,
): void {
  const words = new Uint32Array(memory.buffer);
  words[control.threads] = threads;
  words[control.slots] = map.slots;
  words[control.blocks] = map.limits.blocksPerSequence;
  words[control.scratchBytes] = program.scratchBytes;
  for (const name of [
    'ids',
    'sequence',
    'position',
    'slot',
    'length',
    'rows',
    'table',
    'keys',
    'arena',
    'scratch',
    'weights',
    'state',
  ] as const) {
    words[control[name]] = map[name];
  }
}

function makeExecutor(
  manifest: Manifest,
  program: WasmProgram,
  map: MemoryMap,
  memory: WebAssembly.Memory,
  threads: number,
  team: Team,
): Executor {
  const { limits } = map;
  const words = new Uint32Array(memory.buffer);
  const bytes = new Uint8Array(memory.buffer);
  const ints = (at: number, length: number): Int32Array =>
    new Int32Array(memory.buffer, at, length);
  const keys = ints(map.keys, map.slots);
  const batch: StepBatch = {
    tokens: 0,
    ids: ints(map.ids, limits.tokens),
    sequence: ints(map.sequence, limits.tokens),
    position: ints(map.position, limits.tokens),
    slot: ints(map.slot, limits.tokens),
    length: ints(map.length, limits.tokens),
    wanted: 0,
    rows: ints(map.rows, limits.rows),
    table: ints(map.table, limits.sequences * limits.blocksPerSequence),
  };
  const rows = Array.from(
    { length: limits.rows },
    (_, r) =>
      new Float32Array(
        memory.buffer,
        map.arena + program.output.offset + r * program.output.rowBytes,
        limits.vocab,
      ),
  );
  /** Pieces of the state that belong to a block: one for each state and iteration, and the positions. */
  const pieces = (block: number): readonly { readonly at: number; readonly size: number }[] => [
    ...manifest.cache.states.flatMap((s) =>
      Array.from({ length: s.count }, (_, i) => ({
        at: map.state + (s.offset + i * s.stride) * map.slots + block * limits.block * s.bytes,
        size: limits.block * s.bytes,
      })),
    ),
    { at: map.keys + block * limits.block * 4, size: limits.block * 4 },
  ];
  const blockBytes = pieces(0).reduce((a, p) => a + p.size, 0);
  return {
    target: 'wasm',
    threads,
    limits,
    batch,
    blockBytes,
    memoryBytes: map.bytes,
    step() {
      for (let n = 0; n < batch.tokens; n++) keys[batch.slot[n] ?? 0] = batch.position[n] ?? 0;
      words[control.t] = batch.tokens;
      words[control.r] = batch.wanted;
      return team.run();
    },
    logits: (row) => {
      const view = rows[row];
      if (!view || row >= batch.wanted)
        throw new DeviceError('device/row', `row ${row} of ${batch.wanted} wanted`);
      return view;
    },
    copyBlock(from, to) {
      const target = pieces(to);
      pieces(from).forEach((p, i) => bytes.copyWithin(target[i]?.at ?? 0, p.at, p.at + p.size));
    },
    readBlock(block) {
      const out = new Uint8Array(blockBytes);
      let end = 0;
      for (const p of pieces(block)) {
        out.set(bytes.subarray(p.at, p.at + p.size), end);
        end += p.size;
      }
      return out;
    },
    writeBlock(block, data) {
      let end = 0;
      for (const p of pieces(block)) {
        bytes.set(data.subarray(end, end + p.size), p.at);
        end += p.size;
      }
    },
    close: () => team.close(),
  };
}
