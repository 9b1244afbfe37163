/** Blocks of the paged cache: handed out, counted by reference, shared between forks. */
import { InputError } from './errors.ts';

export interface BlockPool {
  readonly total: number;
  free(): number;
  /** A block that nobody else holds. Throws InputError when there is none. */
  take(): number;
  share(block: number): void;
  /** Gives a reference back; the block is free again with the last. */
  release(block: number): void;
  shared(block: number): boolean;
}

export function makeBlockPool(total: number, entries: number): BlockPool {
  const counts = new Int32Array(total);
  const unused = Array.from({ length: total }, (_, i) => total - 1 - i);
  return {
    total,
    free: () => unused.length,
    take() {
      const block = unused.pop();
      if (block === undefined) {
        throw new InputError(
          'input/capacity',
          `the cache holds ${total * entries} tokens and all are in use: end a sequence, or load with a larger capacity`,
        );
      }
      counts[block] = 1;
      return block;
    },
    share(block) {
      counts[block] = (counts[block] ?? 0) + 1;
    },
    release(block) {
      const left = (counts[block] ?? 0) - 1;
      counts[block] = left;
      if (left === 0) unused.push(block);
    },
    shared: (block) => (counts[block] ?? 0) > 1,
  };
}
