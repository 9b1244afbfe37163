/** Repeats: every layer is elaborated with its own choices; equal ones fold into runs of loops. */
import { sameType, showType } from '../base/type.ts';
import type { StmtAst } from '../1-syntax/ast.ts';
import { elaborate } from './expressions.ts';
import type { Body, Repeat, Run, TypedExpr } from './model.ts';
import { tensorThing, typeOf, wrongKind } from './operands.ts';
import { type Context, type Place, type Scope, joinPath } from './scope.ts';

type RepeatAst = Extract<StmtAst, { kind: 'repeat' }>;

export interface RepeatSite {
  readonly ctx: Context;
  readonly scope: Scope;
  readonly place: Place;
  runStatements(
    ctx: Context,
    scope: Scope,
    place: Place,
    statements: readonly StmtAst[],
  ): readonly TypedExpr[] | 'failed' | undefined;
}

/** Stands for the layer's number in paths until the runs are known. */
const mark = '{@}';

/** True unless a mistake was found. */
export function elaborateRepeat(site: RepeatSite, s: RepeatAst): boolean {
  const { ctx, scope, place } = site;
  const count = elaborate(ctx, scope, place, s.count);
  if (count.kind === 'error') return false;
  if (count.kind !== 'int' || count.value < 1) {
    wrongKind(ctx, s.count.span, 'repeat', 'a whole number of at least 1', count);
    return false;
  }
  const carried = new Map<string, TypedExpr>();
  const bodies: Body[] = [];
  for (let layer = 0; layer < count.value; layer++) {
    const inner: Scope = { names: new Map(), outer: scope, template: scope.template };
    inner.names.set(s.variable.text, { kind: 'int', value: layer });
    const own: Place = {
      path: joinPath(place.path, s.name.text, mark),
      source: joinPath(place.source, s.from?.value ?? s.name.text, mark),
      statements: [],
      weights: [],
      parts: [],
      states: new Set(),
    };
    const returned = site.runStatements(ctx, inner, own, s.body);
    if (returned === 'failed') return false;
    if (returned) {
      ctx.log.report(
        'type/kind',
        { what: 'repeat', expected: 'a body without return', found: 'a return' },
        [{ span: s.span, text: '' }],
      );
      return false;
    }
    if (!carry(site, s, inner, carried)) return false;
    bodies.push({
      weights: own.weights,
      instances: own.parts.flatMap((p) => p.instance ?? []),
      statements: own.statements,
    });
  }
  const repeat: Repeat = {
    kind: 'repeat',
    carried: [...carried].map(([name, e]) => ({ name, type: typeOf(e) })),
    runs: fold(bodies),
    span: s.span,
  };
  place.statements.push(repeat);
  for (const [name, e] of carried)
    scope.names.set(name, tensorThing({ ...e, kind: 'local', name }));
  return true;
}

/** Tensors of the outer scope that the body assigned keep their type from round to round. */
function carry(
  site: RepeatSite,
  s: RepeatAst,
  inner: Scope,
  carried: Map<string, TypedExpr>,
): boolean {
  for (const [name, t] of inner.names) {
    const before = site.scope.names.get(name);
    if (before?.kind !== 'tensor' || t.kind !== 'tensor') continue;
    const [was, is] = [typeOf(before.expr), typeOf(t.expr)];
    if (!sameType(was, is)) {
      site.ctx.log.report('repeat/changed', { name, before: showType(was), after: showType(is) }, [
        { span: t.expr.span, text: `this is ${showType(is)}` },
        { span: s.span, text: 'in this repeat' },
      ]);
      return false;
    }
    carried.set(name, before.expr);
  }
  return true;
}

/** Layers to runs: the longest repetition of a short pattern first, from the front. */
function fold(bodies: readonly Body[]): Run[] {
  const keys = bodies.map(keyOf);
  const numbers = new Map<string, number>();
  const ids = keys.map((k) => {
    const id = numbers.get(k) ?? numbers.size;
    numbers.set(k, id);
    return id;
  });
  const runs: Run[] = [];
  for (let first = 0; first < ids.length;) {
    const { period, count } = bestPattern(ids, first);
    runs.push({
      first,
      count,
      bodies: bodies
        .slice(first, first + period)
        .map((b, i) => placed(b, `{${first + i}+${period}i}`)),
    });
    first += period * count;
  }
  return runs;
}

/** The pattern from `first` on that covers most layers; the shortest such. */
function bestPattern(ids: readonly number[], first: number): { period: number; count: number } {
  let best = { period: 1, count: 1 };
  const left = ids.length - first;
  for (let period = 1; period * 2 <= left; period++) {
    let count = 1;
    const same = (round: number): boolean =>
      Array.from(
        { length: period },
        (_, i) => ids[first + i] === ids[first + round * period + i],
      ).every(Boolean);
    while ((count + 1) * period <= left && same(count)) count++;
    const covers = count > 1 ? count * period : 1;
    if (covers > (best.count > 1 ? best.count * best.period : 1)) best = { period, count };
  }
  return best;
}

/** A body's structure as text, places in the source left out. */
const keyOf = (b: Body): string =>
  JSON.stringify(b, (key, value: unknown) =>
    key === 'span' ? undefined : value instanceof Map ? [...value] : value,
  );

/** The body with the mark in every path replaced. */
function placed(body: Body, by: string): Body {
  const known = new Map<object, unknown>();
  const visit = (v: unknown): unknown => {
    if (typeof v === 'string') return v.replace(mark, by);
    if (typeof v !== 'object' || v === null || v instanceof Map) return v;
    const had = known.get(v);
    if (had !== undefined) return had;
    if (Array.isArray(v)) {
      const copy: unknown[] = [];
      known.set(v, copy);
      for (const x of v) copy.push(visit(x));
      return copy;
    }
    const copy: Record<string, unknown> = {};
    known.set(v, copy);
    for (const [key, x] of Object.entries(v)) copy[key] = key === 'span' ? x : visit(x);
    return copy;
  };
  return visit(body) as Body; // the same structure with other strings
}
