/** Counts what the threads of workgroups do in the kernel interpreter: bytes, accesses, idle threads. */
import type { GroupAccess, GroupObserver } from './observer.ts';

/** Threads that a GPU runs together: they load in one transaction, or wait for each other. */
const together = 32;
/** Words of shared memory that it serves at once, for as many threads. */
const banks = 32;
const word = 4;
/** Bytes that one thread loads in a single access at most. */
const widest = 16;

export interface LaunchCounts {
  readonly kernel: string;
  /** Bytes of global memory, each counted once a launch; `total`: every time. */
  read: number;
  readTotal: number;
  written: number;
  writtenTotal: number;
  /** Of `readTotal`, what no launch stores to: weights and arrays of the step; loads of one address by a group of 32 count once. */
  fixedTotal: number;
  /** Bytes that threads loaded, and of these, in loads of 16 bytes a thread that lie one after the other. */
  loaded: number;
  coalesced: number;
  /** Of the bytes loaded, those that all threads of a group of 32 loaded from one address. */
  uniform: number;
  /** Statements times threads: of groups of 32 with any thread at work, and those that were. */
  slots: number;
  busy: number;
  /** Accesses of groups of 32 to shared memory, and how many turns they took: 1 each without conflicts. */
  sharedAccesses: number;
  sharedTurns: number;
}

export interface Counts extends GroupObserver {
  readonly launches: readonly LaunchCounts[];
}

/** `bytes`: the size of the memory that kernels run over. */
export function makeCounts(bytes: number): Counts {
  const launches: LaunchCounts[] = [];
  const words = Math.ceil(bytes / word);
  const seen = { load: new Uint8Array(words >> 3), store: new Uint8Array(words >> 3) };
  let current = noCounts('');
  // By bank: how many words are asked for at once, and which.
  const held = new Uint8Array(banks);
  const asked = new Float64Array(banks * together);

  /** Bytes of words that were not touched in this launch before. */
  function first(kind: 'load' | 'store', address: number, size: number): number {
    const marks = seen[kind];
    let fresh = 0;
    for (let w = Math.floor(address / word); w * word < address + size; w++) {
      const mark = marks[w >> 3] ?? 0;
      if ((mark >> (w & 7)) & 1) continue;
      marks[w >> 3] = mark | (1 << (w & 7));
      fresh += Math.min(word, size);
    }
    return fresh;
  }

  function global({ tile, at, kind, bytes: size, active }: GroupAccess): void {
    for (let from = 0; from < at.length; from += together) {
      const lanes = lanesOf(active, from);
      for (const n of lanes) {
        const fresh = first(kind, at[n] ?? 0, size);
        if (kind === 'load') {
          current.read += fresh;
          current.readTotal += size;
        } else {
          current.written += fresh;
          current.writtenTotal += size;
        }
      }
      if (kind === 'store' || lanes.length === 0) continue;
      current.loaded += size * lanes.length;
      const start = (at[lanes[0] ?? 0] ?? 0) - (lanes[0] ?? 0) * size;
      const same = lanes.every((n) => at[n] === at[lanes[0] ?? 0]);
      if (tile.fixed) current.fixedTotal += same ? size : size * lanes.length;
      if (same) {
        if (lanes.length > 1) current.uniform += size * lanes.length;
      } else if (size === widest && lanes.every((n) => at[n] === start + n * size)) {
        current.coalesced += size * lanes.length;
      }
    }
  }

  function sharedAccess({ at, bytes: size, active }: GroupAccess): void {
    // Wide accesses are served for as many threads at a time as the banks have words for.
    const share = Math.max(1, Math.floor((banks * word) / Math.max(size, word)));
    const step = Math.min(share, together);
    for (let from = 0; from < at.length; from += step) {
      let turns = 0;
      held.fill(0);
      for (let n = from; n < Math.min(from + step, at.length); n++) {
        if (active[n] === 0) continue;
        for (let byte = 0; byte < size; byte += word) {
          turns = Math.max(turns, hold(Math.floor(((at[n] ?? 0) + byte) / word)));
        }
      }
      if (turns === 0) continue;
      current.sharedAccesses++;
      current.sharedTurns += turns;
    }
  }

  /** How many different words of its bank are asked for, this one included. */
  function hold(w: number): number {
    const bank = w % banks;
    const count = held[bank] ?? 0;
    for (let i = 0; i < count; i++) if (asked[bank * together + i] === w) return count;
    asked[bank * together + count] = w;
    held[bank] = count + 1;
    return count + 1;
  }

  return {
    launches,
    launch({ name }) {
      current = noCounts(name);
      launches.push(current);
      seen.load.fill(0);
      seen.store.fill(0);
    },
    statement(active) {
      for (let from = 0; from < active.length; from += together) {
        let busy = 0;
        for (let n = from; n < Math.min(from + together, active.length); n++)
          if (active[n] !== 0) busy++;
        if (busy === 0) continue;
        current.busy += busy;
        current.slots += Math.min(together, active.length - from);
      }
    },
    access(a) {
      if (a.tile.space === 'global') global(a);
      else sharedAccess(a);
    },
  };
}

function lanesOf(active: ArrayLike<number>, from: number): number[] {
  const out: number[] = [];
  for (let n = from; n < Math.min(from + together, active.length); n++)
    if (active[n] !== 0) out.push(n);
  return out;
}

const noCounts = (kernel: string): LaunchCounts => ({
  kernel,
  read: 0,
  readTotal: 0,
  written: 0,
  writtenTotal: 0,
  fixedTotal: 0,
  loaded: 0,
  coalesced: 0,
  uniform: 0,
  slots: 0,
  busy: 0,
  sharedAccesses: 0,
  sharedTurns: 0,
});
