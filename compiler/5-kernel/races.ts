/** Accesses of threads to memory since the last barrier, byte by byte. */
import { Failure } from '../base/failure.ts';

export interface RaceLog {
  /** Throw Failure `kernel/race` where another thread's access to one of the bytes is in the way. */
  read(address: number, bytes: number, thread: number, kernel: string, tile: string): void;
  write(address: number, bytes: number, thread: number, kernel: string, tile: string): void;
  /** All threads have met: nothing before it is in the way of anything after. */
  barrier(): void;
}

const nobody = 0;
const several = -1;

export function makeRaceLog(bytes: number): RaceLog {
  const readers = new Int16Array(bytes);
  const writers = new Int16Array(bytes);
  const fail = (kernel: string, tile: string, address: number, what: string): never => {
    throw new Failure('kernel/race', `${kernel}: ${tile} at byte ${address} is ${what}`);
  };
  return {
    read(address, size, thread, kernel, tile) {
      const own = thread + 1;
      for (let at = address; at < address + size; at++) {
        const [writer, reader] = [writers[at] ?? 0, readers[at] ?? 0];
        if (writer !== nobody && writer !== own)
          fail(kernel, tile, address, 'written by another thread');
        readers[at] = reader === nobody || reader === own ? own : several;
      }
    },
    write(address, size, thread, kernel, tile) {
      const own = thread + 1;
      for (let at = address; at < address + size; at++) {
        const [writer, reader] = [writers[at] ?? 0, readers[at] ?? 0];
        if (writer !== nobody && writer !== own)
          fail(kernel, tile, address, 'written by another thread');
        if (reader !== nobody && reader !== own)
          fail(kernel, tile, address, 'read by another thread');
        writers[at] = own;
      }
    },
    barrier() {
      readers.fill(nobody);
      writers.fill(nobody);
    },
  };
}
