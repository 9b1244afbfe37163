/**
 * How the keys of a token are cut: into blocks by their absolute numbers, and a power of two of
 * blocks is a part. Parts are reduced one by one and then combined in order, so that several threads
 * may work on one token; how long a part is depends on how many keys the token may look at and on
 * nothing else.
 */
import { runsInLanes } from '../scalar/lanes.ts';
import type { Lowered } from '../ops/op.ts';

/** Keys of a block: what is scored before values are summed. A multiple of the cache's blocks. */
export const blockKeys = 128;
/** Parts of a token, at most: one more than what a part's length is chosen for, as ends may stick out. */
export const mostParts = 17;
/** Tokens of a step whose parts different threads may work on. */
export const splitTokens = 16;

/** Whether an attention's keys are cut so: its functions run in lanes and it chooses no keys. */
export const inParts = (lowered: Extract<Lowered, { kind: 'attend' }>): boolean =>
  !lowered.select && runsInLanes(lowered.mask.body) && runsInLanes(lowered.score.body);

/** Elements that a part takes in memory: the weighted sum of the values, their maximum and sum. */
export const partWidth = (valueWidth: number): number => valueWidth + 2;
