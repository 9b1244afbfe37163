/** Accesses of threads to memory since the last barrier, word by word. */
import { Failure } from '../base/failure.ts';

export interface RaceLog {
  /** Throw Failure `kernel/race` where another thread's access is in the way. */
  read(address: number, thread: number, kernel: string, tile: string): void;
  write(address: number, thread: number, kernel: string, tile: string): void;
  /** All threads have met: nothing before it is in the way of anything after. */
  barrier(): void;
}

const nobody = 0;
const several = -1;

export function makeRaceLog(bytes: number): RaceLog {
  const readers = new Int32Array(Math.ceil(bytes / 4));
  const writers = new Int32Array(readers.length);
  const fail = (kernel: string, tile: string, address: number, what: string): never => {
    throw new Failure('kernel/race', `${kernel}: ${tile} at byte ${address} is ${what}`);
  };
  return {
    read(address, thread, kernel, tile) {
      const word = address >> 2;
      const [own, writer, reader] = [thread + 1, writers[word] ?? 0, readers[word] ?? 0];
      if (writer !== nobody && writer !== own)
        fail(kernel, tile, address, 'written by another thread');
      readers[word] = reader === nobody || reader === own ? own : several;
    },
    write(address, thread, kernel, tile) {
      const word = address >> 2;
      const [own, writer, reader] = [thread + 1, writers[word] ?? 0, readers[word] ?? 0];
      if (writer !== nobody && writer !== own)
        fail(kernel, tile, address, 'written by another thread');
      if (reader !== nobody && reader !== own)
        fail(kernel, tile, address, 'read by another thread');
      writers[word] = own;
    },
    barrier() {
      readers.fill(nobody);
      writers.fill(nobody);
    },
  };
}
