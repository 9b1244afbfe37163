/** Expressions of templates: compile-time values are computed, the rest becomes typed ops. */
import {
  type Dim,
  constantDim,
  productDim,
  sameDim,
  showDim,
  showShape,
  symbol,
} from '../base/dim.ts';
import { unreachable } from '../base/invariant.ts';
import { nearestName } from '../base/messages/nearest.ts';
import type { Span } from '../base/source.ts';
import { showType } from '../base/type.ts';
import { type OpName, isOpName } from '../ops/index.ts';
import type { BinaryOp, ExprAst } from '../1-syntax/ast.ts';
import { fromHole } from './arguments.ts';
import { callOf } from './calls.ts';
import { operandOf, resultOf, tensorThing, typeOf, wrongKind } from './operands.ts';
import {
  type Context,
  type Place,
  type Scope,
  type Thing,
  describe,
  errorThing,
  isError,
  lookup,
  namesIn,
} from './scope.ts';
import { agreed, binaryValue, negate, number, valueFunctions } from './values.ts';

/**
 * Steps of one model: the largest of the library takes a tenth. Entries of lists count an eighth.
 */
export const mostSteps = 100_000;

/** What an expression is where it stands; the error thing where steps are used up, said once. */
export function elaborate(ctx: Context, scope: Scope, place: Place, e: ExprAst): Thing {
  if (!spend(ctx, 1, e.span)) return errorThing;
  const found = elaborateOne(ctx, scope, place, e);
  ctx.observe?.(e.span, found);
  const makes = e.kind === 'binary' || e.kind === 'call' || e.kind === 'list';
  if (!makes || found.kind !== 'list') return found;
  return spend(ctx, entriesOf(found.items, 8 * mostSteps) / 8, e.span) ? found : errorThing;
}

function spend(ctx: Context, steps: number, span: Span): boolean {
  const had = ctx.budget.left;
  ctx.budget.left -= steps;
  if (ctx.budget.left >= 0) return true;
  if (had >= 0) {
    ctx.log.report('model/too-large', { most: mostSteps }, [{ span, text: 'the steps end here' }]);
  }
  return false;
}

/** Entries of lists in lists too, counted up to `most`: equal lists may be one in memory. */
function entriesOf(items: readonly Thing[], most: number): number {
  let count = items.length;
  for (const item of items) {
    if (count > most) return count;
    if (item.kind === 'list') count += entriesOf(item.items, most - count);
  }
  return count;
}

function elaborateOne(ctx: Context, scope: Scope, place: Place, e: ExprAst): Thing {
  const go = (x: ExprAst): Thing => elaborate(ctx, scope, place, x);
  switch (e.kind) {
    case 'number':
      return number(e.value, e.whole);
    case 'text':
      return { kind: 'text', value: e.value };
    case 'bool':
      return { kind: 'bool', value: e.value };
    case 'hole':
      return fromHole(ctx.log, scope.template.holes[e.index], e.span);
    case 'name':
      return nameThing(ctx, scope, e.name, e.span);
    case 'list': {
      const items = e.items.map(go);
      return items.some(isError) ? errorThing : { kind: 'list', items };
    }
    case 'lambda':
      return { kind: 'lambda', params: e.params, body: e.body, scope };
    case 'if': {
      const when = go(e.when);
      if (when.kind === 'error') return errorThing;
      if (when.kind === 'open') return agreed(go(e.a), go(e.b));
      if (when.kind !== 'bool') return wrongKind(ctx, e.when.span, 'if', 'true or false', when);
      return go(when.value ? e.a : e.b);
    }
    case 'unary':
      return unaryThing(ctx, e, go(e.of));
    case 'binary':
      return binaryThing(ctx, e, go(e.a), go(e.b));
    case 'index':
      return indexThing(ctx, e, go(e.of), e.at.map(go));
    case 'member':
      return memberThing(ctx, scope, place, e);
    case 'as':
      return reshape(ctx, scope, place, e);
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
  // Mistakes point at what was written here, not at where the name got its value.
  if (found?.kind === 'tensor') return tensorThing({ ...found.expr, span });
  if (found) return found;
  if (name === 'positions') {
    return tensorThing({
      kind: 'step',
      field: 'position',
      span,
      types: [{ dtype: 'i32', shape: [symbol('t')] }],
    });
  }
  if (isOpName(name) || valueFunctions.includes(name)) {
    ctx.log.report('name/op-as-value', { name }, [{ span, text: '' }]);
    return errorThing;
  }
  const nearest = nearestName(name, [...namesIn(scope), 'positions']);
  ctx.log.report('name/unknown', { name, nearest }, [{ span, text: '' }]);
  return errorThing;
}

type ExprOf<K extends ExprAst['kind']> = Extract<ExprAst, { readonly kind: K }>;

function unaryThing(ctx: Context, e: ExprOf<'unary'>, of: Thing): Thing {
  if (of.kind === 'error') return of;
  if (e.op === 'not') {
    if (of.kind === 'open') return of;
    return of.kind === 'bool'
      ? { kind: 'bool', value: !of.value }
      : wrongKind(ctx, e.of.span, 'not', 'true or false', of);
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

function binaryThing(ctx: Context, e: ExprOf<'binary'>, a: Thing, b: Thing): Thing {
  const { op } = e;
  if (a.kind === 'error' || b.kind === 'error') return errorThing;
  if ((op === '/' || op === '%') && b.kind === 'int' && b.value === 0 && a.kind !== 'tensor') {
    ctx.log.report('value/zero-division', { op }, [{ span: e.b.span, text: 'this is 0' }]);
    return errorThing;
  }
  const value = binaryValue(op, a, b);
  if (value) return value;
  const name = operatorOps[op];
  if (!name || (a.kind !== 'tensor' && b.kind !== 'tensor')) {
    ctx.log.report('value/operands', { op, left: describe(a), right: describe(b) }, [
      { span: e.a.span, text: `this is ${describe(a)}` },
      { span: e.b.span, text: `this is ${describe(b)}` },
    ]);
    return errorThing;
  }
  const x = operandOf(ctx, a, e.a.span, op);
  const y = operandOf(ctx, b, e.b.span, op);
  if (!x || !y) return errorThing;
  return resultOf(ctx, name, [x, y], name === 'matmul' ? { nk: false } : {}, e.span);
}

/** `list[2]`, or rows of a table by ids; several indices are for functions of positions alone. */
function indexThing(ctx: Context, e: ExprOf<'index'>, of: Thing, all: readonly Thing[]): Thing {
  const [at, more] = all;
  const place = e.at[0];
  if (of.kind === 'error' || all.some(isError) || !at || !place) return errorThing;
  if (more) {
    ctx.log.report('value/indices', { found: all.length }, [{ span: e.span, text: '' }]);
    return errorThing;
  }
  if (of.kind === 'open') {
    return { kind: 'open', type: of.type?.kind === 'list' ? of.type.of : undefined };
  }
  if (of.kind === 'list') {
    if (at.kind === 'open' || at.kind === 'dim') return of.items[0] ?? errorThing;
    if (at.kind !== 'int') return wrongKind(ctx, place.span, 'an index', 'a whole number', at);
    const item = of.items[at.value];
    if (item) return item;
    ctx.log.report('value/index', { index: at.value, length: of.items.length }, [
      { span: place.span, text: '' },
    ]);
    return errorThing;
  }
  const table = operandOf(ctx, of, e.of.span, 'an indexed value');
  const ids = operandOf(ctx, at, place.span, 'an index');
  return table && ids ? resultOf(ctx, 'gather', [table, ids], {}, e.span) : errorThing;
}

/** `x.T` transposes; `a.b` is the weight or instance declared under that path. */
function memberThing(ctx: Context, scope: Scope, place: Place, e: ExprOf<'member'>): Thing {
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

/** `x as [..]`: the same elements in row-major order under another shape. */
function reshape(ctx: Context, scope: Scope, place: Place, e: ExprOf<'as'>): Thing {
  const x = operandOf(ctx, elaborate(ctx, scope, place, e.of), e.of.span, 'as');
  const shape = e.shape.dims.map((d) => dimOf(ctx, scope, place, d)).filter((d) => d !== undefined);
  if (!x || shape.length !== e.shape.dims.length) return errorThing;
  const type = typeOf(x);
  const labels = [{ span: e.shape.span, text: '' }];
  if (e.shape.rest) ctx.log.report('shape/rest', { what: 'as' }, labels);
  const { dtype } = e.shape;
  if (dtype) ctx.log.report('shape/element-type', { to: dtype.text }, labels);
  if (e.shape.rest || dtype) return errorThing;
  const row = type.shape[0];
  const stepAt = shape.findIndex((d) => sameDim(d, symbol('t')));
  const whole = sameDim(productDim(shape), productDim(type.shape));
  // Rows of a step may lie anywhere in a batch: they stay rows.
  const rowsStay = stepAt < 0 || (stepAt === 0 && row !== undefined && sameDim(row, symbol('t')));
  if (!whole || !rowsStay) {
    ctx.log.report('shape/reshape', { from: showType(type), to: textOf(e.shape.span) }, [
      { span: e.of.span, text: `this is ${showType(type)}` },
      { span: e.shape.span, text: `this is ${showShape(shape)}` },
    ]);
    return errorThing;
  }
  const sizes = shape.map((d) => constantDim(d) ?? 0);
  const types = [{ dtype: type.dtype, shape }];
  const attrs = { shape: sizes };
  return tensorThing({ kind: 'op', op: 'reshape', inputs: [x], attrs, span: e.span, types });
}

const textOf = (span: Span): string => span.source.text.slice(span.start, span.end);

/** An expression as a size: a whole number of at least 1, `t`, or a polynomial of open sizes. */
export function dimOf(ctx: Context, scope: Scope, place: Place, e: ExprAst): Dim | undefined {
  const t = elaborate(ctx, scope, place, e);
  const labels = [{ span: e.span, text: '' }];
  switch (t.kind) {
    case 'error':
      return undefined;
    case 'dim':
      if (ctx.mode === 'open' || sameDim(t.dim, symbol('t'))) return t.dim;
      ctx.log.report('shape/size', { found: showDim(t.dim) }, labels);
      return undefined;
    case 'open':
      return symbol(`(${textOf(e.span)})`);
    case 'int':
    case 'real':
      if (t.kind === 'int' && t.value >= 1) return t.value;
      if (Number.isInteger(t.value)) {
        ctx.log.report('shape/size', { found: String(t.value) }, labels);
      } else
        ctx.log.report('shape/whole', { what: textOf(e.span), found: String(t.value) }, labels);
      return undefined;
    default:
      wrongKind(ctx, e.span, 'a size', 'a whole number', t);
      return undefined;
  }
}
