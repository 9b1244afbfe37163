/** An executor of a CPU: one piece of memory, whose control block and arrays a step reads. */
import type { Executor, StepBatch } from './device.ts';
import { DeviceError } from './errors.ts';
import type { MemoryMap } from './layout.ts';
import { type Manifest, type StepSizes, control } from './manifest.ts';

/** The memory of a `MemoryMap`, places counted from its beginning. */
export interface StepMemory {
  /** Arrays in place, valid until the executor is closed. */
  ints(at: number, length: number): Int32Array;
  floats(at: number, length: number): Float32Array;
  setWord(word: number, value: number): void;
  copy(from: number, to: number, bytes: number): void;
  read(at: number, into: Uint8Array): void;
  write(at: number, from: Uint8Array): void;
}

export interface ExecutorParts {
  readonly target: string;
  readonly threads: number;
  readonly manifest: Manifest;
  readonly program: StepSizes;
  readonly map: MemoryMap;
  readonly memory: StepMemory;
  readonly memoryBytes: number;
  /** Runs the step on all threads. */
  run(): void | Promise<void>;
  close(): void;
}

/** Sets a word of a control block whose words have 64 bits. */
export function setWideWord(words: Uint32Array, word: number, value: number): void {
  words[2 * word] = value % 2 ** 32;
  words[2 * word + 1] = Math.floor(value / 2 ** 32);
}

/** The words that stay as they are; `base` is the address of the memory's beginning. */
export function writeControl(
  map: MemoryMap,
  memory: StepMemory,
  { threads, base, weights }: { threads: number; base: number; weights: number },
): void {
  memory.setWord(control.threads, threads);
  memory.setWord(control.slots, map.slots);
  memory.setWord(control.blocks, map.limits.blocksPerSequence);
  memory.setWord(control.scratchBytes, map.scratchBytes);
  memory.setWord(control.weights, weights);
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
    'state',
  ] as const) {
    memory.setWord(control[name], base + map[name]);
  }
}

export function makeExecutor(parts: ExecutorParts): Executor {
  const { manifest, program, map, memory } = parts;
  const { limits } = map;
  const { ints } = memory;
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
  const rows: Float32Array[] = [];
  const rowOf = (row: number): Float32Array =>
    (rows[row] ??= memory.floats(
      map.arena + program.output.offset + row * program.output.rowBytes,
      limits.vocab,
    ));
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
  let closed = false;
  const open = (): void => {
    if (closed) throw new DeviceError('device/closed', 'the model is closed: load it again');
  };
  return {
    target: parts.target,
    threads: parts.threads,
    limits,
    batch,
    blockBytes,
    memoryBytes: parts.memoryBytes,
    step() {
      open();
      for (let n = 0; n < batch.tokens; n++) keys[batch.slot[n] ?? 0] = batch.position[n] ?? 0;
      memory.setWord(control.t, batch.tokens);
      memory.setWord(control.r, batch.wanted);
      return parts.run();
    },
    logits(row) {
      open();
      if (!Number.isInteger(row) || row < 0 || row >= batch.wanted)
        throw new DeviceError('device/row', `row ${row} of ${batch.wanted} wanted`);
      return rowOf(row);
    },
    copyBlock(from, to) {
      open();
      const target = pieces(to);
      pieces(from).forEach((p, i) => memory.copy(p.at, target[i]?.at ?? 0, p.size));
    },
    readBlock(block) {
      open();
      const out = new Uint8Array(blockBytes);
      let end = 0;
      for (const p of pieces(block)) {
        memory.read(p.at, out.subarray(end, end + p.size));
        end += p.size;
      }
      return out;
    },
    writeBlock(block, data) {
      open();
      let end = 0;
      for (const p of pieces(block)) {
        memory.write(p.at, data.subarray(end, end + p.size));
        end += p.size;
      }
    },
    close() {
      if (closed) return;
      closed = true;
      parts.close();
    },
  };
}
