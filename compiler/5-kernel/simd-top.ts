/** The largest elements by insertion: one thread keeps them sorted while it passes over the axis. */
import { invariant, present } from '../base/invariant.ts';
import { compare, int, load, num, select, variable } from '../scalar/expr.ts';
import type { Builder } from './builder.ts';
import type { Stmt } from './kernel.ts';
import { type Linear, loopIndex } from './linear.ts';
import type { TopRequest } from './loops.ts';
import { loop, named, readRegister, registers, store, when } from './statements.ts';

/**
 * An element moves in front of smaller ones only, so equal ones keep the order of their positions.
 */
export function top(builder: Builder, request: TopRequest): Stmt[] {
  const { count, extent, outer, source } = request;
  const groups = outer.map((a) => builder.fresh(a.hint));
  const group = outer.map((a, i) => loopIndex(present(groups[i]), a.extent));
  const at = (which: number, c: Linear) => {
    const place = which === 0 ? request.value(group, c) : request.position(group, c);
    return { place, value: load(place.tile, place.index, which === 0 ? 'f32' : 'i32') };
  };
  const [e, c] = [builder.fresh('e'), builder.fresh('c')];
  const slot = loopIndex(c, count);
  const [held, heldId, moved] = ['value', 'index', 'moved'].map((n) => builder.fresh(n));
  invariant(held && heldId && moved, 'names');
  const value = readRegister(held, 0, 1);
  const index = readRegister(heldId, 0, 1, 'i32');
  const [sv, si] = [at(0, slot), at(1, slot)];
  const wasValue = named(builder.fresh('was'), sv.value);
  const wasId = named(builder.fresh('was'), si.value);
  const take = named(
    builder.fresh('take'),
    compare(
      'ne',
      {
        op: 'or',
        a: readRegister(moved, 0, 1, 'i32'),
        b: select(compare('gt', value, wasValue.ref), int(1), int(0)),
        dtype: 'i32',
        lanes: 1,
      },
      int(0),
    ),
  );
  const fill = (n: Linear): Stmt[] => [
    store(at(0, n).place.tile, at(0, n).place.index, num(-Infinity)),
    store(at(1, n).place.tile, at(1, n).place.index, int(0)),
  ];
  const insert: Stmt[] = [
    wasValue.stmt,
    wasId.stmt,
    take.stmt,
    when(take.ref, [
      store(sv.place.tile, sv.place.index, value),
      store(si.place.tile, si.place.index, index),
      store(held, 0, wasValue.ref),
      store(heldId, 0, wasId.ref),
      store(moved, 0, int(1)),
    ]),
  ];
  const each = (body: Stmt[]): Stmt[] => (count === 1 ? body : [loop(c, 0, count, body)]);
  const position = loopIndex(e, extent);
  const body = [
    ...each(fill(slot)),
    loop(e, 0, extent, [
      store(held, 0, source(group, position)),
      store(heldId, 0, variable(e)),
      store(moved, 0, int(0)),
      ...each(insert),
    ]),
  ];
  return [
    registers(held, 1, 1),
    registers(heldId, 1, 1, 'i32'),
    registers(moved, 1, 1, 'i32'),
    ...outer.reduceRight<Stmt[]>(
      (inner, a, i) => (a.extent === 1 ? inner : [loop(present(groups[i]), 0, a.extent, inner)]),
      body,
    ),
  ];
}
