/** Where everything lies in a wasm program's memory. All sizes are fixed at load. */
import { DeviceError } from '../errors.ts';
import { type Manifest, type WasmProgram, controlBytes } from '../manifest.ts';
import type { ExecutorLimits, ExecutorOptions } from '../device.ts';

export interface MemoryMap {
  readonly limits: ExecutorLimits;
  /** Byte addresses of the step arrays, i32 each. */
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
  readonly weights: number;
  readonly state: number;
  readonly slots: number;
  readonly bytes: number;
}

const align = (n: number): number => Math.ceil(n / 64) * 64;
/** What a 32-bit address reaches. */
const mostBytes = 2 ** 32;

export function mapMemory(
  manifest: Manifest,
  program: WasmProgram,
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
    ids: place(tokens),
    sequence: place(tokens),
    position: place(tokens),
    slot: place(tokens),
    length: place(tokens),
    rows: place(4 * limits.rows),
    table: place(4 * limits.sequences * blocksPerSequence),
    keys: place(4 * slots),
    arena: place(program.arenaBytes),
    scratch: place(program.scratchBytes * options.threads),
    weights: place(manifest.weights.bytes),
    state: place(manifest.cache.bytesPerSlot * slots),
  };
  // Vectors may be read past the end of the last array.
  const bytes = end + 64;
  if (bytes > mostBytes) {
    const mib = (n: number): string => `${Math.round(n / 2 ** 20)} MiB`;
    throw new DeviceError(
      'device/memory',
      `the model needs ${mib(bytes)} (weights ${mib(manifest.weights.bytes)}, cache for ` +
        `${slots} tokens ${mib(manifest.cache.bytesPerSlot * slots)}); wasm can address 4096 MiB: ` +
        'load it with a smaller capacity',
    );
  }
  return { ...map, bytes };
}
