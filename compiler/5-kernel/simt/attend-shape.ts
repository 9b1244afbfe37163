/** How the threads of a workgroup divide a block of keys among them, within registers and shared memory. */
import { blockKeys, inParts } from '../../4-partition/key-parts.ts';
import type { Lowered } from '../../ops/op.ts';
import { blockEntries } from '../state-rows.ts';
import type { StateWords } from './state-words.ts';

/** Threads of a workgroup: one for each key of a block. */
export const attendThreads = blockKeys;
/** Threads that take the largest of a row's scores first, of as many keys each as come to a block. */
export const mostThreads = 16;
/** Query heads of a workgroup, at most: as many rows have `mostThreads` each. */
const mostRows = attendThreads / mostThreads;
/** Rows of a workgroup where several tokens are read for together, at most. */
const besideRows = 4;
/** Accumulators of a thread, at most, of products and again of values. */
const accumulators = 64;
/** Elements of shared memory in which sums of threads meet, at most where fewer would do. */
const meeting = 2048;

/** How a row's words are taken: `lanes` words a thread at once. */
export interface KeyThreads {
  readonly lanes: 1 | 2 | 4;
  /** Keys of a thread, threads side by side that have a block's keys, and threads of each of these. */
  readonly together: number;
  readonly across: number;
  readonly phases: number;
}

export interface ValueThreads {
  readonly lanes: 1 | 2 | 4;
  /** Elements of a thread at once, threads side by side that have a row, and keys at a time. */
  readonly together: number;
  readonly columns: number;
  readonly phases: number;
  /** How often a thread has elements of a row, where a workgroup has too few threads for it. */
  readonly rounds: number;
}

/** A function of the attention and its caches alone: a step decides nothing that a sum is made by. */
export interface AttendShape {
  /** Query heads of a workgroup, and workgroups for those of a key head. */
  readonly heads: number;
  readonly chunks: number;
  /** Tokens of a workgroup where it has all their keys, at most. */
  readonly tokens: number;
  /** Turned keys lie side by side for each element; of others each thread has one. */
  readonly keys: KeyThreads | undefined;
  readonly values: ValueThreads;
  /** Elements of the shared tile that sums meet in, and rows for which they do at once. */
  readonly meeting: number;
  readonly side: number;
}

/** Numbers that a row's first thread leaves for all. */
export const rowState = 4;

/** From the sums of one thread of a key's to those of the next, for some rows: past what banks would share. */
export const metStride = (rows: number): number => rows * blockKeys + 16;

/** Elements of the shared tiles for `rows` rows: queries, scores, sums, first maxima, states and pages of two blocks. */
export const sharedTiles = (rows: number, width: number, met: number) => ({
  queries: rows * width,
  scores: rows * blockKeys,
  sums: met,
  most: rows * mostThreads,
  state: rows * rowState,
  pages: 2 * (blockKeys / blockEntries),
});
/** What they take, each from the next multiple of 64 bytes on. */
const sharedBytes = (rows: number, width: number, met: number): number =>
  Object.values(sharedTiles(rows, width, met)).reduce((a, n) => a + 64 * Math.ceil(n / 16), 0);

/** Undefined where a row of the head's size does not fit. */
export function attendShape(
  lowered: Extract<Lowered, { kind: 'attend' }>,
  group: number,
  keys: StateWords,
  values: StateWords,
  bytes: number,
): AttendShape | undefined {
  for (let most = mostRows; most >= 1; most /= 2) {
    const chunks = Math.ceil(group / most);
    const heads = Math.ceil(group / chunks);
    const tokens = inParts(lowered)
      ? Math.max(1, Math.floor(Math.min(most, besideRows) / heads))
      : 1;
    const rows = heads * tokens;
    const own = {
      keys: keys.state.perSlot === 1 ? keyThreads(keys, rows) : undefined,
      values: valueThreads(values, rows),
    };
    for (let side = rows; side >= 1; side--) {
      const met = Math.max(
        (own.keys?.phases ?? 0) * metStride(side),
        own.values.phases * side * values.state.width,
      );
      if (side > 1 && met > meeting) continue;
      if (sharedBytes(rows, keys.state.width, met) > bytes) continue;
      return { heads, chunks, tokens, ...own, meeting: met, side };
    }
  }
  return undefined;
}

const lanesOf = [4, 2, 1] as const;

function keyThreads({ perWord }: StateWords, rows: number): KeyThreads {
  const lanes = lanesOf.find((n) => n * perWord * rows <= accumulators) ?? 1;
  const together = lanes * perWord;
  const across = blockKeys / together;
  return { lanes, together, across, phases: attendThreads / across };
}

function valueThreads({ state, perWord }: StateWords, rows: number): ValueThreads {
  const words = state.width / perWord;
  const fits = (n: number): boolean => {
    const rounds = Math.ceil(words / n / attendThreads);
    return words % n === 0 && rounds * n * perWord * rows <= accumulators;
  };
  const lanes = lanesOf.find(fits) ?? 1;
  const columns = words / lanes;
  const phases = Math.max(1, Math.floor(attendThreads / columns));
  const rounds = Math.ceil(columns / attendThreads);
  return { lanes, together: lanes * perWord, columns, phases, rounds };
}
