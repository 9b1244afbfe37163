/** Rows of a tile in panels: where they lie, and their state from before the first key to the result. */
import {
  type Expr, add, compare, div, int, load, min, mul, num, rem, sub, variable,
} from '../scalar/expr.ts'; // prettier-ignore
import type { NodeFacts } from '../4-partition/plan.ts';
import { type Softmax, begin, combine, finish, partAt, sinkOf } from './attend-merge.ts';
import { type Attention, type Panels, keysAtOnce, range } from './attend-state.ts';
import type { LowerContext } from './context.ts';
import type { Stmt } from './kernel.ts';
import { indexExpr } from './linear.ts';
import { loop, named, store, when } from './statements.ts';

/** The tile at hand: rows are its tokens and, for each, the query heads of the key head. */
export interface Tile {
  readonly ctx: LowerContext;
  readonly facts: NodeFacts;
  readonly attention: Attention;
  readonly heads: number;
  /** Query heads of a key head, the key head, the first token and how many rows there are. */
  readonly group: number;
  readonly kvHead: Expr;
  readonly token: Expr;
  readonly rows: Expr;
  readonly out: string;
  readonly position: string;
  readonly length: string;
}

/** Panels of one size, the rows that are in them, and the state of each over its parts so far. */
export interface Rows {
  readonly panels: Panels;
  readonly first: Expr;
  readonly count: Expr;
  readonly total: { readonly m: string; readonly l: string; readonly o: string };
}

/** Rows of the panels for what is left of fours, by the group's size; 4: a panel that repeats a row. */
function restRows(group: number): 1 | 2 | 4 | undefined {
  if (group % 4 === 0) return undefined;
  if (group % 2 === 0) return 2;
  return group % 4 === 1 ? 1 : 4;
}

/** Panels for `rows` rows, of a multiple of `group` and at most `most`. */
export function panelsFor(a: Attention, group: number, most: number, rows: Expr): Rows[] {
  const { builder: b } = a;
  const rest = restRows(group);
  const whole = rest === 4 ? div(add(rows, int(3)), int(4)) : div(rows, int(4));
  const fours = makeRows(4, Math.max(1, rest === 4 ? Math.ceil(most / 4) : Math.floor(most / 4)));
  const main: Rows = { ...fours, first: int(0), count: whole };
  if (rest === undefined || rest === 4) return [main];
  const left = rem(rows, int(4));
  const others = makeRows(rest, rest === 1 ? 3 : 1);
  return [main, { ...others, first: mul(whole, int(4)), count: div(left, int(rest)) }];

  function makeRows(size: Panels['rows'], panels: number): Pick<Rows, 'panels' | 'total'> {
    const { width } = a.values;
    const four = (hint: string, dtype: 'f32' | 'i32'): string =>
      b.scratch(`${hint}${size}`, 4 * panels, dtype);
    const each = (hint: string, elements = 1): string =>
      b.scratch(`${hint}${size}`, panels * size * elements);
    const at = { q: each('q', a.keys.width), i: four('i', 'i32'), h: four('h', 'i32') };
    const own = { length: four('length', 'i32'), m: four('m', 'f32'), l: each('l', 4) };
    const of = { rows: size } as const;
    const numbers = b.scratch(`key${size}`, keysAtOnce(a, of) * size, 'i32');
    return {
      panels: { ...of, ...at, ...own, o: each('o', width), numbers },
      total: { m: each('total_m'), l: each('total_l'), o: each('total_o', width) },
    };
  }
}

/** Fills the tile that says which key a score belongs to. */
export function numberKeys({ panels }: Rows, a: Attention): Stmt {
  const x = a.builder.fresh('x');
  const { rows, numbers } = panels;
  return loop(x, 0, keysAtOnce(a, panels) * rows, [
    store(numbers, variable(x), div(variable(x), int(rows))),
  ]);
}

/** The row of a panel, or the tile's last one where a panel has more. */
function rowOf(
  t: Tile,
  r: Rows,
  panel: Expr,
  n: number,
): { stmts: Stmt[]; row: Expr; token: string; head: Expr } {
  const { builder: b } = t.attention;
  const number = add(r.first, add(mul(panel, int(r.panels.rows)), int(n)));
  const row = named(b.fresh('row'), min(number, sub(t.rows, int(1))));
  const token = b.fresh('token');
  const tokenStmt = named(token, add(t.token, div(row.ref, int(t.group)))).stmt;
  const first = mul(t.kvHead, int(t.group));
  const head = named(b.fresh('head'), add(first, rem(row.ref, int(t.group))));
  return { stmts: [row.stmt, tokenStmt, head.stmt], row: number, token, head: head.ref };
}

const placeOf = (r: Rows, panel: Expr, n: number): Expr =>
  add(mul(panel, int(r.panels.rows)), int(n));

const totalOf = (t: Tile, r: Rows, panel: Expr, n: number): Softmax => {
  const place = placeOf(r, panel, n);
  const { width } = t.attention.values;
  return {
    m: { tile: r.total.m, index: place },
    l: { tile: r.total.l, index: place },
    o: { tile: r.total.o, index: mul(place, int(width)) },
    width,
  };
};

/** What a panel must know of its rows; their state before any key. */
export function enter(t: Tile, r: Rows, panel: Expr): Stmt[] {
  const { attention: a } = t;
  const { panels } = r;
  return range(panels.rows).flatMap((n): Stmt[] => {
    const { stmts, token, head } = rowOf(t, r, panel, n);
    const tokenRef = variable(token);
    const position = named(a.builder.fresh('i'), load(t.position, tokenRef, 'i32'));
    const length = named(a.builder.fresh('length'), load(t.length, tokenRef, 'i32'));
    const q = named(
      a.builder.fresh('q_row'),
      mul(add(mul(tokenRef, int(t.heads)), head), int(a.keys.width)),
    );
    const i = a.builder.fresh('i');
    const element = add(mul(panel, int(a.keys.width)), variable(i));
    const copy = loop(i, 0, a.keys.width, [
      store(
        panels.q,
        add(mul(element, int(panels.rows)), int(n)),
        load(a.q, add(q.ref, variable(i))),
      ),
    ]);
    const sink = sinkOf(t.ctx, t.facts, a.lowered, {
      token,
      position: position.ref,
      head,
      heads: t.heads,
    });
    const places = range(4).filter((x) => x % panels.rows === n);
    const fill = (tile: string, value: Expr): Stmt[] =>
      places.map((x) => store(tile, add(mul(panel, int(4)), int(x)), value));
    return [
      ...stmts,
      position.stmt,
      length.stmt,
      q.stmt,
      copy,
      ...fill(panels.i, position.ref),
      ...fill(panels.h, head),
      ...fill(panels.length, length.ref),
      ...sink.stmts,
      ...begin(a.builder, totalOf(t, r, panel, n), sink.value),
    ];
  });
}

/** The state of a part before its first key. */
export function clearPart(t: Tile, { panels }: Rows, panel: Expr): Stmt[] {
  const { builder: b, values } = t.attention;
  const zeros = (tile: string, size: number): Stmt[] =>
    b.loops.store(b, [{ hint: 'i', extent: size }], ([i]) => ({
      tile,
      index: add(mul(panel, int(size)), i ? indexExpr(i) : int(0)),
      value: num(0),
    }));
  return [
    ...range(4).map((x) => store(panels.m, add(mul(panel, int(4)), int(x)), num(-Infinity))),
    ...zeros(panels.l, 4 * panels.rows),
    ...zeros(panels.o, values.width * panels.rows),
  ];
}

/** Maximum, sum of weights and place of the weighted sum that a row has after a part. */
function partOf(t: Tile, { panels }: Rows, panel: Expr, n: number) {
  const { rows } = panels;
  const { width } = t.attention.values;
  const sum = (key: number): Expr =>
    load(panels.l, add(mul(panel, int(4 * rows)), int(key * rows + n)));
  return {
    m: load(panels.m, add(mul(panel, int(4)), int(n))),
    l: add(add(sum(0), sum(1)), add(sum(2), sum(3))),
    o: { tile: panels.o, index: mul(add(mul(panel, int(rows)), int(n)), int(width)) },
  };
}

/** Adds the part to what was before it. */
export function addPart(t: Tile, r: Rows, panel: Expr): Stmt[] {
  const { attention: a } = t;
  return range(r.panels.rows).flatMap((n) =>
    combine(a.builder, a.lowered, totalOf(t, r, panel, n), partOf(t, r, panel, n)),
  );
}

/** Leaves the part for the kernel that combines them; `number`: of the part among the token's. */
export function leavePart(t: Tile, r: Rows, panel: Expr, parts: string, number: Expr): Stmt[] {
  const { attention: a, heads } = t;
  const { builder: b, values } = a;
  return range(r.panels.rows).flatMap((n): Stmt[] => {
    const { stmts, row, token, head } = rowOf(t, r, panel, n);
    const part = partOf(t, r, panel, n);
    const item = add(mul(variable(token), int(heads)), head);
    const at = named(b.fresh('at'), partAt(item, number, values.width));
    return [
      when(compare('lt', row, t.rows), [
        ...stmts,
        at.stmt,
        ...b.loops.store(b, [{ hint: 'i', extent: values.width }], ([i]) => {
          const element = i ? indexExpr(i) : int(0);
          return {
            tile: parts,
            index: add(at.ref, element),
            value: load(part.o.tile, add(part.o.index, element)),
          };
        }),
        store(parts, add(at.ref, int(values.width)), part.m),
        store(parts, add(at.ref, int(values.width + 1)), part.l),
      ]),
    ];
  });
}

/** The results of a panel's rows. */
export function leaveResult(t: Tile, r: Rows, panel: Expr): Stmt[] {
  const { attention: a, heads } = t;
  const { builder: b, values } = a;
  return range(r.panels.rows).flatMap((n): Stmt[] => {
    const { stmts, row, token, head } = rowOf(t, r, panel, n);
    const at = mul(add(mul(variable(token), int(heads)), head), int(values.width));
    const to = named(b.fresh('out_row'), at);
    return [
      when(compare('lt', row, t.rows), [
        ...stmts,
        to.stmt,
        ...finish(b, a.lowered, totalOf(t, r, panel, n), { tile: t.out, index: to.ref }),
      ]),
    ];
  });
}
