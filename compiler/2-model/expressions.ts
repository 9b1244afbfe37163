/** Expressions of templates: compile-time values are computed, the rest becomes typed ops. */
import { type Dim, constantDim, symbol } from '../base/dim.ts';
import { present, unreachable } from '../base/invariant.ts';
import { nearestName } from '../base/messages.ts';
import type { Span } from '../base/source.ts';
import type { OpName } from '../ops/index.ts';
import type { BinaryOp, ExprAst, ShapeAst } from '../1-syntax/ast.ts';
import { fromHole } from './arguments.ts';
import { callOf } from './calls.ts';
import { operandOf, resultOf, tensorThing, wrongKind } from './operands.ts';
import {
  type Context,
  type Place,
  type Scope,
  type Thing,
  describe,
  errorThing,
  lookup,
  namesIn,
} from './scope.ts';
import { binaryValue, negate, number } from './values.ts';

export function elaborate(ctx: Context, scope: Scope, place: Place, e: ExprAst): Thing {
  const go = (x: ExprAst): Thing => elaborate(ctx, scope, place, x);
  switch (e.kind) {
    case 'number':
      return number(e.value, e.whole);
    case 'text':
      return { kind: 'text', value: e.value };
    case 'bool':
      return { kind: 'bool', value: e.value };
    case 'hole':
      return fromHole(present(scope.template.holes[e.index], 'hole'));
    case 'name':
      return nameThing(ctx, scope, e.name, e.span);
    case 'list':
      return { kind: 'list', items: e.items.map(go) };
    case 'lambda':
      return { kind: 'lambda', params: e.params, body: e.body, scope };
    case 'if': {
      const when = go(e.when);
      if (when.kind === 'error') return errorThing;
      if (when.kind !== 'bool') return wrongKind(ctx, e.when.span, 'if', 'a truth value', when);
      return go(when.value ? e.a : e.b);
    }
    case 'unary':
      return unaryThing(ctx, place, e, go(e.of));
    case 'binary':
      return binaryThing(ctx, place, e.op, go(e.a), go(e.b), e);
    case 'index':
      return indexThing(ctx, place, go(e.of), go(e.at), e);
    case 'member':
      return memberThing(ctx, scope, place, e);
    case 'as':
      return reshape(ctx, scope, place, go(e.of), e.shape, e.span);
    case 'call':
      return callOf(
        { ctx, scope, place, elaborate: go, elaborateIn: (x, s) => elaborate(ctx, s, place, x) },
        e,
      );
    default:
      return unreachable(e);
  }
}

function nameThing(ctx: Context, scope: Scope, name: string, span: Span): Thing {
  const found = lookup(scope, name);
  if (found) return found;
  if (name === 'positions') {
    return tensorThing({
      kind: 'step',
      field: 'position',
      span,
      types: [{ dtype: 'i32', shape: [symbol('t')] }],
    });
  }
  const nearest = nearestName(name, [...namesIn(scope), 'positions']);
  ctx.log.report('name/unknown', { name, nearest }, [{ span, text: '' }]);
  return errorThing;
}

function unaryThing(
  ctx: Context,
  place: Place,
  e: Extract<ExprAst, { kind: 'unary' }>,
  of: Thing,
): Thing {
  if (of.kind === 'error') return of;
  if (e.op === 'not') {
    return of.kind === 'bool'
      ? { kind: 'bool', value: !of.value }
      : wrongKind(ctx, e.of.span, 'not', 'a truth value', of);
  }
  const value = negate(of);
  if (value) return value;
  const x = operandOf(ctx, of, e.of.span, '-');
  return x ? resultOf(ctx, 'neg', [x], {}, e.span) : errorThing;
}

/** The ops behind the operators on tensors. */
const operatorOps: Partial<Record<BinaryOp, OpName>> = {
  '+': 'add',
  '-': 'sub',
  '*': 'mul',
  '/': 'div',
  '@': 'matmul',
};

function binaryThing(
  ctx: Context,
  _place: Place,
  op: BinaryOp,
  a: Thing,
  b: Thing,
  e: Extract<ExprAst, { kind: 'binary' }>,
): Thing {
  if (a.kind === 'error' || b.kind === 'error') return errorThing;
  const value = binaryValue(op, a, b);
  if (value) return value;
  const name = operatorOps[op];
  if (!name || (a.kind !== 'tensor' && b.kind !== 'tensor')) {
    ctx.log.report('value/operands', { op, left: describe(a), right: describe(b) }, [
      { span: e.span, text: '' },
    ]);
    return errorThing;
  }
  const x = operandOf(ctx, a, e.a.span, op);
  const y = operandOf(ctx, b, e.b.span, op);
  if (!x || !y) return errorThing;
  return resultOf(ctx, name, [x, y], name === 'matmul' ? { nk: false } : {}, e.span);
}

function indexThing(
  ctx: Context,
  _place: Place,
  of: Thing,
  at: Thing,
  e: Extract<ExprAst, { kind: 'index' }>,
): Thing {
  if (of.kind === 'error' || at.kind === 'error') return errorThing;
  if (of.kind === 'list') {
    if (at.kind !== 'int') return wrongKind(ctx, e.at.span, 'an index', 'a whole number', at);
    const item = of.items[at.value];
    if (item) return item;
    ctx.log.report('value/index', { index: at.value, length: of.items.length }, [
      { span: e.at.span, text: '' },
    ]);
    return errorThing;
  }
  const table = operandOf(ctx, of, e.of.span, 'an indexed value');
  const ids = operandOf(ctx, at, e.at.span, 'an index');
  return table && ids ? resultOf(ctx, 'gather', [table, ids], {}, e.span) : errorThing;
}

/** `x.T` transposes; `a.b` is the weight or instance declared under that path. */
function memberThing(
  ctx: Context,
  scope: Scope,
  place: Place,
  e: Extract<ExprAst, { kind: 'member' }>,
): Thing {
  const path = pathOf(e);
  const found = path === undefined ? undefined : lookup(scope, path);
  if (found) return found;
  if (e.name !== 'T') {
    const nearest = nearestName(path ?? e.name, [...namesIn(scope), 'T']);
    ctx.log.report('name/unknown', { name: path ?? e.name, nearest }, [{ span: e.span, text: '' }]);
    return errorThing;
  }
  const x = operandOf(ctx, elaborate(ctx, scope, place, e.of), e.of.span, '.T');
  return x ? resultOf(ctx, 'transpose', [x], {}, e.span) : errorThing;
}

function pathOf(e: ExprAst): string | undefined {
  if (e.kind === 'name') return e.name;
  if (e.kind !== 'member') return undefined;
  const outer = pathOf(e.of);
  return outer === undefined ? undefined : `${outer}.${e.name}`;
}

function reshape(
  ctx: Context,
  scope: Scope,
  place: Place,
  of: Thing,
  shape: ShapeAst,
  span: Span,
): Thing {
  const x = operandOf(ctx, of, span, 'as');
  const dims = shape.dims.map((d) => dimOf(ctx, scope, place, d));
  if (!x || dims.some((d) => d === undefined)) return errorThing;
  const sizes = dims.map((d) => constantDim(present(d)) ?? 0);
  return resultOf(ctx, 'reshape', [x], { shape: sizes }, span);
}

/** An expression as a size: a whole number of at least 1, or t. */
export function dimOf(ctx: Context, scope: Scope, place: Place, e: ExprAst): Dim | undefined {
  const t = elaborate(ctx, scope, place, e);
  if (t.kind === 'error') return undefined;
  if (t.kind === 'dim') return t.dim;
  if (t.kind === 'int' && t.value >= 1) return t.value;
  if (t.kind === 'int' || t.kind === 'real') {
    ctx.log.report('shape/size', { found: String(t.value) }, [{ span: e.span, text: '' }]);
    return undefined;
  }
  wrongKind(ctx, e.span, 'a size', 'a whole number', t);
  return undefined;
}
