/** Accesses to memory since the last barrier, byte by byte: of a team's threads, or of workgroups and their threads. */
import { Failure } from '../base/failure.ts';

export interface RaceLog {
  /** Throw Failure `kernel/race` where another thread's access to one of the bytes is in the way. */
  read(address: number, bytes: number, thread: number, kernel: string, tile: string): void;
  write(address: number, bytes: number, thread: number, kernel: string, tile: string): void;
  /** All threads have met: nothing before it is in the way of anything after. */
  barrier(): void;
  /** A workgroup begins: what it is known by, as a thread, among all since the last barrier. */
  workgroup(): number;
  /** Accesses of the threads of the workgroup that began last. */
  readonly inGroup: GroupLog;
}

/** Accesses of the threads of one workgroup to some elements, since their last barrier. */
export interface GroupLog {
  /** False where another thread stored the element, or, for `write`, loaded it. */
  read(element: number, thread: number): boolean;
  write(element: number, thread: number): boolean;
  barrier(): void;
}

const nobody = 0;
const several = -1;

/** Codes below one epoch: threads by number from 1, and `many` of them. */
const codes = 2048;
const many = codes - 1;

export function makeGroupLog(elements: number): GroupLog {
  // What was noted in earlier epochs does not count: nothing is cleared at a barrier.
  const readers = new Float64Array(elements);
  const writers = new Float64Array(elements);
  let epoch = codes;
  const before = (stamp: number | undefined): number =>
    stamp !== undefined && stamp > epoch ? stamp - epoch : nobody;
  return {
    read(element, thread) {
      const own = thread + 1;
      const writer = before(writers[element]);
      const reader = before(readers[element]);
      readers[element] = epoch + (reader === nobody || reader === own ? own : many);
      return writer === nobody || writer === own;
    },
    write(element, thread) {
      const own = thread + 1;
      const writer = before(writers[element]);
      const reader = before(readers[element]);
      writers[element] = epoch + own;
      return (writer === nobody || writer === own) && (reader === nobody || reader === own);
    },
    barrier() {
      epoch += codes;
    },
  };
}

export function makeRaceLog(bytes: number): RaceLog {
  const readers = new Int32Array(bytes);
  const writers = new Int32Array(bytes);
  let workgroups = 0;
  let inGroup: GroupLog | undefined;
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
      workgroups = 0;
    },
    workgroup: () => workgroups++,
    get inGroup() {
      return (inGroup ??= makeGroupLog(bytes));
    },
  };
}
