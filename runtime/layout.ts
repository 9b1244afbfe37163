/** Where a step's memory lies, the weights aside: one piece, whose sizes are all fixed at load. */
import type { ExecutorLimits, ExecutorOptions } from './device.ts';
import { DeviceError } from './errors.ts';
import { type Manifest, type StepSizes, controlBytes } from './manifest.ts';

export interface MemoryMap {
  readonly limits: ExecutorLimits;
  /** Bytes from the beginning, where the control block is, to the step arrays, i32 each. */
  readonly ids: number;
  readonly sequence: number;
  readonly position: number;
  readonly slot: number;
  readonly length: number;
  readonly rows: number;
  readonly table: number;
  /** Position of each cache slot. */
  readonly keys: number;
  readonly arena: number;
  readonly scratch: number;
  /** Scratch of one thread. */
  readonly scratchBytes: number;
  readonly state: number;
  readonly slots: number;
  readonly bytes: number;
}

/** Vectors may be read past the end of the last array. */
export const pastEnd = 64;
export const align = (n: number): number => Math.ceil(n / 64) * 64;

export function mapMemory(
  manifest: Manifest,
  program: StepSizes,
  options: ExecutorOptions,
): MemoryMap {
  const { block } = manifest.cache;
  const blocksPerSequence = Math.ceil(options.context / block);
  const blocks = Math.ceil(options.capacity / block);
  const limits: ExecutorLimits = {
    ...program.limits,
    sequences: options.sequences,
    blocksPerSequence,
    blocks,
    block,
    vocab: manifest.model.vocab,
  };
  const slots = blocks * block;
  const scratchBytes = align(program.scratchBytes);
  let end = controlBytes;
  const place = (bytes: number): number => {
    const at = end;
    end = align(end + bytes);
    return at;
  };
  const tokens = 4 * limits.tokens;
  const map = {
    limits,
    slots,
    scratchBytes,
    ids: place(tokens),
    sequence: place(tokens),
    position: place(tokens),
    slot: place(tokens),
    length: place(tokens),
    rows: place(4 * limits.rows),
    table: place(4 * limits.sequences * blocksPerSequence),
    keys: place(4 * slots),
    arena: place(program.arenaBytes),
    scratch: place(scratchBytes * options.threads),
    state: place(manifest.cache.bytesPerSlot * slots),
  };
  return { ...map, bytes: end + pastEnd };
}

/**
 * Holds the cache against what kernels count in 31 bits: elements of one of its arrays, of a byte at
 * least. Throws DeviceError `device/memory`. Memory of 4 GiB is addressed right whatever it holds.
 */
export function checkIndexes({ cache }: Manifest, { slots }: MemoryMap): void {
  const most = 2 ** 31;
  const widest = cache.states.reduce((n, s) => Math.max(n, s.bytes), 0);
  if (widest * slots <= most) return;
  throw new DeviceError(
    'device/memory',
    `one array of the cache would have ${Math.ceil((widest * slots) / 2 ** 20)} MiB for ${slots} tokens, and kernels ` +
      `reach ${most / 2 ** 20} MiB of it: load it with a capacity of ${Math.floor(most / widest)} tokens at most`,
  );
}
