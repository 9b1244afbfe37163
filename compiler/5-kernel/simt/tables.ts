/** Expressions that differ in numbers alone, as one that reads the numbers from a table. */
import { present } from '../../base/invariant.ts';
import { type Expr, load } from '../../scalar/expr.ts';
import { children, mapChildren } from '../../scalar/walk.ts';
import type { Builder } from '../builder.ts';

/** One expression for all, `index` the number of the one meant; undefined where forms differ. */
export function fromTables(b: Builder, all: readonly Expr[], index: Expr): Expr | undefined {
  const first = present(all[0]);
  const alike = (es: readonly Expr[]): boolean => {
    const [lead, ...rest] = es;
    if (!lead) return true;
    const own = children(lead);
    return (
      rest.every((e) => formOf(e) === formOf(lead) && children(e).length === own.length) &&
      own.every((_, i) => alike(es.map((e) => present(children(e)[i]))))
    );
  };
  if (!alike(all)) return undefined;
  const merge = (es: readonly Expr[]): Expr => {
    const lead = present(es[0]);
    if (lead.op === 'const') {
      const values = es.map((e) => (e.op === 'const' ? e.value : NaN));
      if (values.every((v) => v === lead.value)) return lead;
      const dtype = lead.dtype === 'i32' ? 'i32' : 'f32';
      return load(b.constants('table', values, dtype), index, dtype);
    }
    let next = 0;
    return mapChildren(lead, () => {
      const i = next++;
      return merge(es.map((e) => present(children(e)[i])));
    });
  };
  return all.length === 1 ? first : merge(all);
}

/** What of an expression is neither a part of it nor a number. */
function formOf(e: Expr): string {
  const skipped = new Set(['a', 'b', 'c', 'when', 'index', 'left', 'right', 'value']);
  return JSON.stringify(e, (key, value: unknown) => (skipped.has(key) ? undefined : value));
}
