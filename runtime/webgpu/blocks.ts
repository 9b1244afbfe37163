/** Where the blocks of the cache lie. */
import type { ExecutorLimits } from '../device.ts';
import type { Manifest } from '../manifest.ts';
import type { GpuBuffers } from './buffers.ts';

/** A block of the cache in the buffers of all states, then its positions. */
export interface Blocks {
  readonly bytes: number;
  /** Bytes of the states' part. */
  readonly stateBytes: number;
  /** Calls back with each piece: its buffer, where it begins there, and where among the block's bytes. */
  pieces(
    buffers: GpuBuffers,
    block: number,
    take: (buffer: GPUBuffer, at: number, inBlock: number, size: number) => void,
  ): void;
}

export function makeBlocks({ cache }: Manifest, { block: entries }: ExecutorLimits): Blocks {
  const stateBytes = cache.states.reduce((n, s) => n + s.bytes * s.count * entries, 0);
  return {
    bytes: stateBytes + 4 * entries,
    stateBytes,
    pieces(buffers, block, take) {
      let inBlock = 0;
      cache.states.forEach((s, n) => {
        const size = s.bytes * entries;
        for (const buffer of buffers.states[n] ?? []) {
          take(buffer, block * size, inBlock, size);
          inBlock += size;
        }
      });
    },
  };
}
