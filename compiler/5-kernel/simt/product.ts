/** The product of one band of a matrix with the rows that are laid out, for a round over k. */
import { type Expr, add, arithmetic, bits, compare, div, int, load, min, mul, rem, sub, variable } from '../../scalar/expr.ts'; // prettier-ignore
import type { Stmt } from '../kernel.ts';
import { bandRows } from '../layout.ts';
import { loop, named, readRegister, registers, store, when } from '../statements.ts';
import type { SimtContext } from './context.ts';
import { pieceProduct } from './product-pieces.ts';
import { type Anchor, type Places, type Shared, phases, productThreads } from './product-shape.ts';
import { type TokensAt, times } from './product-stage.ts';
import { barrier, thread } from './reduce.ts';

export interface Band {
  readonly shared: Shared;
  readonly places: Places;
  readonly tile: string;
  readonly anchor: Anchor;
  /** Word of the matrix where the band begins. */
  readonly from: Expr;
  readonly round: Expr;
  readonly tokens: TokensAt;
  /** Of each token the row of the operand. */
  readonly rows: readonly Expr[];
  /** f32 tile of sums, and where those of token m for the band's first row are kept. */
  readonly y: string;
  out(m: Expr): Expr;
}

/** Row of the band and phase of a thread. */
const rowOf = arithmetic('and', thread, int(bandRows - 1));
const phaseOf = arithmetic('shr', thread, int(Math.log2(bandRows)));

/** Statements that add the round's sums to y; each of its elements has one thread that adds to it. */
export function bandProduct(ctx: SimtContext, p: Band): Stmt[] {
  return [...layWeights(ctx, p), barrier, ...multiply(ctx, p), barrier, ...addUp(ctx, p)];
}

/** At most `all` of a round, of which there are `total` over all rounds. */
function inRound(round: Expr, all: number, total: number): Expr {
  return total % all === 0 ? int(all) : min(int(all), sub(int(total), mul(round, int(all))));
}

/** Chunks that the round has laid out. */
function chunksIn({ places, round, shared, tokens }: Band): Expr {
  const count = inRound(round, places.form.chunks, shared.chunks);
  return count.op === 'const' ? times(count.value, tokens) : count;
}

/** Loads that a thread has under way before it stores the first. */
const underWay = 8;

function layWeights({ builder: b }: SimtContext, p: Band): Stmt[] {
  const { places, tile, anchor, round, from, shared } = p;
  const { stream: s } = anchor;
  const weight = b.param({ kind: 'weight', weight: s.weight.id }, 'u32', s.weight.name.split('.').at(-1) ?? 'w'); // prettier-ignore
  const perRound = (places.elements / s.block) * s.blockWords;
  /** Four words a thread, `count` times, of which `there` lie in the band. */
  const copy = (count: number, there: Expr, start: Expr, to: number): Stmt[] => {
    const turns = Array.from({ length: Math.ceil(count / productThreads) }, (_, turn) => {
      const place = add(thread, int(turn * productThreads));
      const quad = there.op === 'const' ? place : min(place, sub(there, int(1)));
      const words = load(weight, add(start, mul(quad, int(4))), 'i32', 4);
      return { ...named(b.fresh('w'), words), to: add(mul(place, int(4)), int(to)) };
    });
    const whole = Math.floor(count / productThreads);
    const out: Stmt[] = [];
    for (let first = 0; first < whole; first += underWay) {
      const some = turns.slice(first, Math.min(whole, first + underWay));
      out.push(...some.map((t) => t.stmt), ...some.map((t) => store(tile, t.to, t.ref)));
    }
    const rest = turns.slice(whole).flatMap((t) => [t.stmt, store(tile, t.to, t.ref)]);
    const left = count - whole * productThreads;
    return rest.length === 0 ? out : [...out, when(compare('lt', thread, int(left)), rest)];
  };
  const rounds = Math.ceil(shared.chunks / places.form.chunks);
  const start = add(add(from, int(s.headWords)), mul(round, int(rounds === 1 ? 0 : perRound)));
  const all = (s.blocks * s.blockWords) / 4;
  const count = Math.min(perRound / 4, all);
  return [
    ...copy(count, inRound(round, count, all), start, places.weights),
    ...(s.headWords > 0 ? copy(s.headWords / 4, int(s.headWords / 4), from, places.head) : []),
  ];
}

/** Each thread's sums of the pieces of its phase, for every chunk and token. */
function multiply({ builder: b }: SimtContext, p: Band): Stmt[] {
  const { places, tile, anchor, round, shared, rows } = p;
  const { stream: s } = anchor;
  const { chunks, tokens } = places.form;
  const c = b.fresh('chunk');
  const chunk = chunks === 1 ? int(0) : variable(c);
  const piece = b.fresh('piece');
  const acc = b.fresh('acc');
  const row = named(b.fresh('row'), rowOf);
  const all = add(mul(round, int(chunks)), chunk);
  const pieces = inRound(all, shared.chunk / s.piece, (s.blocks * s.block) / s.piece);
  const work = pieceProduct({
    builder: b,
    stream: s,
    places,
    tile,
    row: row.ref,
    piece: variable(piece),
    chunk,
    chunkElements: shared.chunk,
    chunkWords: (shared.chunk / s.block) * s.blockWords,
    rows,
    acc,
  });
  const kept = rows.map((_, m) => {
    const to = add(mul(chunk, int(tokens * productThreads)), int(places.partials + m * productThreads)); // prettier-ignore
    return store(tile, add(to, thread), bits(readRegister(acc, m, 1), 'i32'));
  });
  const body = [
    registers(acc, tokens, 1),
    loop(piece, phaseOf, pieces, work, 'serial', phases),
    ...kept,
  ];
  if (chunks === 1) return [row.stmt, ...body];
  return [row.stmt, loop(c, 0, chunksIn(p), body)];
}

/** Sums of phases in order, chunk after chunk. */
function addUp({ builder: b }: SimtContext, p: Band): Stmt[] {
  const { places, tile, y } = p;
  const { chunks, tokens } = places.form;
  const i = b.fresh('i');
  const c = b.fresh('chunk');
  const m = tokens === 1 ? int(0) : div(variable(i), int(bandRows));
  const row = tokens === 1 ? variable(i) : rem(variable(i), int(bandRows));
  const to = named(b.fresh('to'), add(p.out(m), row));
  const chunk = chunks === 1 ? int(0) : variable(c);
  const from = add(add(mul(chunk, int(tokens * productThreads)), mul(m, int(productThreads))), row);
  const sums = Array.from({ length: phases }, (_, n) =>
    bits(load(tile, add(from, int(places.partials + n * bandRows)), 'i32'), 'f32'),
  );
  const more = store(y, to.ref, add(load(y, to.ref), sums.reduce(add)));
  const body = chunks === 1 ? [more] : [loop(c, 0, chunksIn(p), [more])];
  return [loop(i, 0, tokens * bandRows, [to.stmt, ...body], 'thread')];
}
