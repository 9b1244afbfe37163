/** Caches as words of 32 bits: what a thread loads at once, and the entries that are in it. */
import { bytesOf } from '../../base/type.ts';
import { present } from '../../base/invariant.ts';
import type { ValueId } from '../../3-graph/graph.ts';
import {
  type Expr, add, arithmetic, cast, half, int, load, mul, sub,
} from '../../scalar/expr.ts'; // prettier-ignore
import type { SimtContext } from './context.ts';
import { type StateTile, blockEntries, stateTile } from '../state-rows.ts';

/** A state whose tile holds words of `perWord` elements that follow each other in memory. */
export interface StateWords {
  readonly state: StateTile;
  readonly perWord: 1 | 2 | 4;
}

/** The words of a cache, or its elements one by one where rows end inside of a word. */
export function wordsOf({ builder, plan }: SimtContext, v: ValueId): StateWords {
  const append = present(plan.producers.get(v), 'producer of a cache');
  let perWord: StateWords['perWord'] = 1;
  const state = stateTile(builder, plan, append, (dtype, { width, perElement }) => {
    const fits = bytesOf[dtype] === 1 ? 4 : bytesOf[dtype] === 2 ? 2 : 1;
    if (perElement === 1 && width % fits !== 0) return dtype;
    perWord = fits;
    return fits === 1 ? dtype : 'u32';
  });
  return { state, perWord };
}

/** Words of a block of the cache for a head, and where they begin. */
export const blockWords = ({ state, perWord }: StateWords): number =>
  (blockEntries * state.width) / perWord;
export const wordsFrom = (w: StateWords, block: Expr, head: Expr): Expr =>
  add(mul(block, int(w.state.heads * blockWords(w))), mul(head, int(blockWords(w))));

/**
 * `lanes` words from one on as f32, codes without their scale: of each word the first of its elements, then of
 * each word the second, and so on.
 */
export function wordElements(
  { state, perWord }: StateWords,
  lanes: number,
  hold: (value: Expr) => Expr,
  index: Expr,
): readonly Expr[] {
  const { tile, dtype, codes } = state;
  if (dtype === 'f32') return [hold(load(tile, index, 'f32', lanes))];
  const words = hold(load(tile, index, 'i32', lanes));
  const wide = (n: number): Expr => ({ ...int(n), lanes });
  const upper = (bits: number): Expr => (bits === 0 ? words : arithmetic('shr', words, int(bits)));
  if (perWord === 1) return [hold(codes ? cast(words, 'f32') : half(words))];
  return Array.from({ length: perWord }, (_, n) => {
    if (!codes) return hold(half(upper(16 * n)));
    const byte = arithmetic('and', upper(8 * n), wide(255));
    return hold(cast(sub(arithmetic('xor', byte, wide(128)), wide(128)), 'f32'));
  });
}
