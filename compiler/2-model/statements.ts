/** Statements: what a body declares, assigns and returns, in order. */
import { present } from '../base/invariant.ts';
import type { Span } from '../base/source.ts';
import type { Name, StmtAst, WeightAst } from '../1-syntax/ast.ts';
import { editedUse, editedWeight } from './edited.ts';
import { dimOf, elaborate } from './expressions.ts';
import { checkArguments } from './givens.ts';
import type { TypedExpr } from './model.ts';
import { dtypeOf, operandOf, tensorThing } from './operands.ts';
import { elaborateRepeat } from './repeat.ts';
import {
  type Context,
  type Part,
  type Place,
  type Scope,
  type Thing,
  describe,
  errorThing,
  isFixed,
  joinPath,
  lookup,
} from './scope.ts';
import { agreed } from './values.ts';

export type Returned = readonly TypedExpr[] | 'failed' | undefined;
type StmtOf<K extends StmtAst['kind']> = Extract<StmtAst, { readonly kind: K }>;

/** Runs statements until one returns. After a mistake the rest is still looked at for others. */
export function runStatements(
  ctx: Context,
  scope: Scope,
  place: Place,
  statements: readonly StmtAst[],
): Returned {
  let failed = false;
  for (const s of statements) {
    const result = runStatement(ctx, scope, place, s);
    if (result === 'failed') failed = true;
    else if (result) return failed ? 'failed' : result;
    // Nothing after a return that failed is reached.
    if (s.kind === 'return') break;
  }
  return failed ? 'failed' : undefined;
}

function runStatement(ctx: Context, scope: Scope, place: Place, s: StmtAst): Returned {
  switch (s.kind) {
    case 'weight': {
      const good = s.weights.map((w) => declareWeight(ctx, scope, place, w));
      return good.every(Boolean) ? undefined : 'failed';
    }
    case 'use':
      return declarePart(ctx, scope, place, s);
    case 'if':
      return choose(ctx, scope, place, s);
    case 'assign':
      return assign(ctx, scope, place, s);
    case 'repeat':
      return elaborateRepeat({ ctx, scope, place, runStatements }, s) ? undefined : 'failed';
    case 'broken':
      for (const { text } of s.names) {
        if (!isFixed(scope, text)) scope.names.set(text, errorThing);
      }
      return 'failed';
    case 'return': {
      const values = s.values.map((v) =>
        operandOf(ctx, elaborate(ctx, scope, place, v), v.span, 'return'),
      );
      const good = values.filter((v) => v !== undefined);
      return good.length === values.length ? good : 'failed';
    }
  }
}

/** Gives a name its one meaning; a name of the same or an outer scope is not taken twice. */
function define(ctx: Context, scope: Scope, name: Name, thing: Thing): Returned {
  const had = lookup(scope, name.text);
  if (had) {
    if (had.kind !== 'error') {
      const code = name.text === 't' ? 'name/reserved' : 'name/repeated';
      ctx.log.report(code, { name: name.text }, [{ span: name.span, text: '' }]);
    }
    return 'failed';
  }
  scope.names.set(name.text, thing);
  scope.fixed.add(name.text);
  ctx.observe?.(name.span, thing);
  return thing.kind === 'error' ? 'failed' : undefined;
}

function declarePart(ctx: Context, scope: Scope, place: Place, s: StmtOf<'use'>): Returned {
  const callee = elaborate(ctx, scope, place, s.callee);
  if (callee.kind !== 'template') {
    if (callee.kind !== 'error' && callee.kind !== 'open') {
      const name = describe(callee);
      ctx.log.report('call/not-callable', { name }, [{ span: s.callee.span, text: '' }]);
    }
    return define(ctx, scope, s.path, errorThing);
  }
  const args = s.args.map((a) => ({
    name: a.name,
    value: elaborate(ctx, scope, place, a.value),
    span: a.value.span,
  }));
  const path = joinPath(place.path, s.path.text);
  const written = { template: callee.template, args };
  const known = checkArguments(ctx, callee.template, args, s.callee.span);
  const edited = known ? editedUse(ctx, path, written) : undefined;
  if (!edited) return define(ctx, scope, s.path, errorThing);
  const part: Part = {
    path,
    source: joinPath(place.source, s.from?.value ?? s.path.text),
    ...edited,
    span: s.path.span,
    instance: undefined,
  };
  place.parts.push(part);
  return define(ctx, scope, s.path, { kind: 'part', part });
}

function choose(ctx: Context, scope: Scope, place: Place, s: StmtOf<'if'>): Returned {
  const when = elaborate(ctx, scope, place, s.when);
  if (when.kind === 'bool') {
    return runStatements(ctx, scope, place, when.value ? s.then : s.otherwise);
  }
  if (when.kind === 'open') return tryBoth(ctx, scope, place, s);
  if (when.kind !== 'error') {
    const code = when.kind === 'tensor' ? 'value/not-compile-time' : 'type/kind';
    const what = 'the condition of if';
    const labels = [{ span: s.when.span, text: '' }];
    if (code === 'type/kind') {
      ctx.log.report(code, { what, expected: 'true or false', found: describe(when) }, labels);
    } else ctx.log.report(code, { what }, labels);
  }
  return 'failed';
}

/** A block checked alone goes both ways; afterwards a name is known where the ways agree. */
function tryBoth(ctx: Context, scope: Scope, place: Place, s: StmtOf<'if'>): Returned {
  const branch = (body: readonly StmtAst[]): readonly [Scope, Returned] => {
    const own: Scope = { ...scope, names: new Map(scope.names), fixed: new Set(scope.fixed) };
    return [own, runStatements(ctx, own, place, body)];
  };
  const [then, first] = branch(s.then);
  const [otherwise, second] = branch(s.otherwise);
  for (const name of new Set([...then.names.keys(), ...otherwise.names.keys()])) {
    const [a, b] = [then.names.get(name), otherwise.names.get(name)];
    scope.names.set(name, agreed(a, b));
    if (then.fixed.has(name) || otherwise.fixed.has(name)) scope.fixed.add(name);
  }
  if (first === 'failed' || second === 'failed') return 'failed';
  return first && second ? first : undefined;
}

function declareWeight(ctx: Context, scope: Scope, place: Place, w: WeightAst): boolean {
  const dtype = dtypeOf(ctx, w.shape.dtype);
  const shape = w.shape.dims.map((d) => dimOf(ctx, scope, place, d)).filter((d) => d !== undefined);
  if (!dtype || w.shape.rest || shape.length !== w.shape.dims.length) {
    if (w.shape.rest) {
      ctx.log.report('shape/rest', { what: 'a weight' }, [{ span: w.shape.span, text: '' }]);
    }
    define(ctx, scope, w.path, errorThing);
    return false;
  }
  const { weight, home } = editedWeight(ctx, place.weights, {
    path: joinPath(place.path, w.path.text),
    source: joinPath(place.source, w.from?.value ?? w.path.text),
    type: { dtype, shape },
    span: w.path.span,
  });
  const expr: TypedExpr = { kind: 'weight', weight, span: w.path.span, types: [weight.type] };
  if (define(ctx, scope, w.path, tensorThing(expr)) === 'failed') return false;
  home?.push(weight);
  return true;
}

function assign(ctx: Context, scope: Scope, place: Place, s: StmtOf<'assign'>): Returned {
  const value = elaborate(ctx, scope, place, s.value);
  const taken = s.names.filter((n) => isFixed(scope, n.text));
  for (const { text, span } of taken) {
    if (lookup(scope, text)?.kind === 'error') continue;
    ctx.log.report('name/fixed', { name: text }, [{ span, text: '' }]);
  }
  if (taken.length > 0) return 'failed';
  const setAll = (t: Thing): void => {
    for (const n of s.names) {
      scope.names.set(n.text, t);
      ctx.observe?.(n.span, t);
    }
  };
  const found = value.kind === 'tensor' ? value.expr.types.length : 1;
  if (value.kind !== 'error' && found !== s.names.length) {
    reportResults(ctx, found, s, s.value.span);
  } else if (value.kind !== 'error' && value.kind !== 'tensor') {
    setAll(value);
    return undefined;
  } else if (value.kind === 'tensor') {
    assignTensors(ctx, scope, place, s.names, value.expr);
    return undefined;
  }
  setAll(errorThing);
  return 'failed';
}

function reportResults(ctx: Context, found: number, s: StmtOf<'assign'>, span: Span): void {
  const of = span.source.text.slice(span.start, span.end).split('\n')[0]?.slice(0, 40) ?? '';
  ctx.log.report('call/results', { of, found, expected: s.names.length }, [{ span, text: '' }]);
}

function assignTensors(
  ctx: Context,
  scope: Scope,
  place: Place,
  names: readonly Name[],
  value: TypedExpr,
): void {
  place.statements.push({ kind: 'let', names: names.map((n) => n.text), value });
  names.forEach(({ text, span }, i) => {
    const type = present(value.types[i]);
    const thing = tensorThing({ kind: 'local', name: text, span, types: [type] });
    scope.names.set(text, thing);
    ctx.observe?.(span, thing);
  });
}
