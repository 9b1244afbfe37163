/** Functions of scalars, `|i, j| j <= i and docs[i] == docs[j]`, to scalar expressions. */
import { constantDim, sameDim, symbol } from '../base/dim.ts';
import { unreachable } from '../base/invariant.ts';
import { nearestName } from '../base/messages/nearest.ts';
import type { AttrSpec } from '../ops/op.ts';
import type { ExprAst } from '../1-syntax/ast.ts';
import {
  type Expr,
  type ScalarFn,
  at,
  bool,
  cast,
  num,
  select,
  unary,
  variable,
} from '../scalar/expr.ts';
import {
  type LambdaValue,
  dtypeOfValue,
  floorDivide,
  functionOf,
  functions,
  greatest,
  least,
  lift,
  logical,
  negated,
  onlyOf,
  operators,
  isUnknown,
  same,
  scalarValue,
  stacked,
  sumLast,
  unknownValue,
} from './lambda-values.ts';
import { handIn } from './handed.ts';
import type { TypedExpr } from './model.ts';
import { typeOf } from './operands.ts';
import { type Context, type Scope, type Thing, describe, lookup, namesIn } from './scope.ts';

type Lambda = Extract<Thing, { kind: 'lambda' }>;
type ExprOf<K extends ExprAst['kind']> = Extract<ExprAst, { readonly kind: K }>;

/** Where a function's tensors come from and go to. */
export interface LambdaSite {
  readonly ctx: Context;
  /** Evaluates what the function takes from around it. */
  outside(e: ExprAst, scope: Scope): Thing;
  /** The operand number of a tensor that the function reads, `cached` at the key of a pair. */
  capture(x: TypedExpr, cached: boolean): number;
}

/** What an expression of a function is; a tensor with a row for each token lacks its row yet. */
type Value = LambdaValue | { readonly rows: TypedExpr };
type Names = ReadonlyMap<string, LambdaValue>;

/** Most numbers of a list that a function may pick from. */
const mostPicked = 1024;
/** Functions that call each other deeper than any use. */
const mostDepth = 32;

/** The function as an attribute of an op; undefined after a mistake. */
export function lowerLambda(
  site: LambdaSite,
  lambda: Lambda,
  spec: AttrSpec,
): ScalarFn | undefined {
  const { ctx } = site;
  const declared = spec.params ?? [];
  let failed = false;
  let sums = 0;
  const params = lambda.params.map((p) => p.text);
  if (params.length > declared.length) {
    const [first] = lambda.params;
    const found = { of: 'this function', most: declared.length, found: params.length };
    ctx.log.report('call/too-many', found, first ? [{ span: first.span, text: '' }] : []);
    return undefined;
  }
  const own = new Map(
    params.map((p, i) => [p, scalarValue(variable(p, declared[i]?.dtype ?? 'i32'))]),
  );
  const result = spec.result ?? 'f32';
  const value = asKind(go(lambda.body, lambda.scope, own, 0), lambda.body, result === 'bool');
  const body = scalarOf(value, lambda.body);
  return failed ? undefined : functionOf(params, body, result);

  function broken(): LambdaValue {
    failed = true;
    return scalarValue(num(0));
  }

  function mismatch(e: ExprAst, expected: string, found: string): LambdaValue {
    if (failed) return broken();
    const what = 'a function';
    ctx.log.report('type/kind', { what, expected, found }, [{ span: e.span, text: '' }]);
    return broken();
  }

  /** A truth value, or numbers. */
  function asKind(v: Value, e: ExprAst, truth: boolean): LambdaValue {
    const known = withRow(v, e);
    if (ctx.mode === 'open' && isUnknown(known)) return unknownValue(truth);
    if (failed || (dtypeOfValue(known) === 'bool') === truth) return known;
    const [number, truthValue] = ['a number', 'a truth value'] as const;
    return truth ? mismatch(e, truthValue, number) : mismatch(e, number, truthValue);
  }

  function withRow(v: Value, e: ExprAst): LambdaValue {
    if (!('rows' in v)) return v;
    ctx.log.report('attention/row', { name: textOf(e) }, [{ span: e.span, text: '' }]);
    return broken();
  }

  /** The one number that an expression must be. */
  function scalarOf(v: LambdaValue, e: ExprAst): Expr {
    if (v.shape.length > 0 && !failed) {
      ctx.log.report('attention/vector', { found: `[${v.shape.join(', ')}]` }, [
        { span: e.span, text: '' },
      ]);
      failed = true;
    }
    return failed ? num(0) : onlyOf(v);
  }

  function combine(
    e: ExprAst,
    f: (...args: readonly [Expr, Expr, Expr]) => Expr,
    ...args: readonly LambdaValue[]
  ): LambdaValue {
    if (failed) return broken();
    const value = lift((a = num(0), b = num(0), c = num(0)) => f(a, b, c), ...args);
    if (value) return value;
    const shapes = args.map((a) => `[${a.shape.join(', ')}]`).join(' and ');
    ctx.log.report('attention/sizes', { shapes }, [{ span: e.span, text: '' }]);
    return broken();
  }

  function go(e: ExprAst, scope: Scope, names: Names, depth: number): Value {
    const numbers = (x: ExprAst): LambdaValue => asKind(go(x, scope, names, depth), x, false);
    const truths = (x: ExprAst): LambdaValue => asKind(go(x, scope, names, depth), x, true);
    switch (e.kind) {
      case 'name':
        return named(e, scope, names);
      case 'number':
        return scalarValue(num(e.value, e.whole ? 'i32' : 'f32'));
      case 'bool':
        return scalarValue(bool(e.value));
      case 'unary':
        return e.op === 'not'
          ? combine(e, (x) => unary('not', x), truths(e.of))
          : combine(e, negated, numbers(e.of));
      case 'if': {
        const when = truths(e.when);
        const known = when.shape.length === 0 ? onlyOf(when) : undefined;
        if (known?.op === 'const' && !failed) {
          return go(known.value === 0 ? e.b : e.a, scope, names, depth);
        }
        const a = withRow(go(e.a, scope, names, depth), e.a);
        const b = asKind(go(e.b, scope, names, depth), e.b, dtypeOfValue(a) === 'bool');
        return combine(e, (w, x, y) => select(w, ...same(x, y)), when, a, b);
      }
      case 'binary': {
        if (e.op === 'and' || e.op === 'or') {
          return combine(e, logical(e.op), truths(e.a), truths(e.b));
        }
        const f = operators[e.op];
        if (!f) return mismatch(e, 'arithmetic on numbers', e.op);
        return combine(e, f, numbers(e.a), numbers(e.b));
      }
      case 'call':
        return call(e, scope, names, depth);
      case 'index':
        return indexed(e, go(e.of, scope, names, depth), e.at.map(numbers));
      case 'hole':
      case 'list':
      case 'member':
      case 'text':
        return outside(e, scope);
      case 'as':
      case 'lambda':
        return mismatch(e, 'a number', 'something else');
      default:
        return unreachable(e);
    }
  }

  function named(e: ExprOf<'name'>, scope: Scope, names: Names): Value {
    const bound = names.get(e.name);
    if (bound) return bound;
    if (lookup(scope, e.name) || e.name === 'positions') return outside(e, scope);
    const nearest = nearestName(e.name, [...names.keys(), ...namesIn(scope)]);
    ctx.log.report('name/unknown', { name: e.name, nearest }, [{ span: e.span, text: '' }]);
    return broken();
  }

  function call(e: ExprOf<'call'>, scope: Scope, names: Names, depth: number): Value {
    const numbers = (x: ExprAst): LambdaValue => asKind(go(x, scope, names, depth), x, false);
    const args = e.args.map((a) => a.value);
    const [x, y] = args;
    if (e.callee.kind !== 'name' || !x || e.args.some((a) => a.name)) return outside(e, scope);
    const { name } = e.callee;
    const thing = lookup(scope, name);
    if (thing?.kind === 'lambda') {
      return inlined(
        e,
        thing,
        args.map((a) => withRow(go(a, scope, names, depth), a)),
        depth,
      );
    }
    if (thing?.kind === 'open') return unknownValue(spec.result === 'bool');
    const f = Object.hasOwn(functions, name) ? functions[name] : undefined;
    if (name === 'floor' && x.kind === 'binary' && x.op === '/' && args.length === 1) {
      return combine(e, floorDivide, numbers(x.a), numbers(x.b));
    }
    if (f && args.length === 1) return combine(e, f, numbers(x));
    if (name === 'min' || name === 'max') {
      const pair = name === 'min' ? least : greatest;
      return args.map(numbers).reduce((a, b) => combine(e, pair, a, b));
    }
    if (name === 'dot' && y && args.length === 2) {
      const times = operators['*'];
      return times ? total(e, combine(e, times, numbers(x), numbers(y))) : broken();
    }
    if (name === 'sum' && args.length === 1) return total(e, numbers(x));
    return outside(e, scope);
  }

  function total(e: ExprAst, v: LambdaValue): LambdaValue {
    if (failed) return broken();
    if (v.shape.length === 0) return mismatch(e, 'a vector', 'a number');
    let name = `k${sums++}`;
    while (own.has(name)) name = `k${sums++}`;
    return sumLast(v, name);
  }

  /** A function that this one calls, written out. */
  function inlined(
    e: ExprOf<'call'>,
    f: Lambda,
    args: readonly LambdaValue[],
    depth: number,
  ): Value {
    const labels = [{ span: e.span, text: '' }];
    if (args.length < f.params.length) {
      const name = f.params[args.length]?.text ?? '';
      ctx.log.report('call/missing-argument', { name, of: 'this function' }, labels);
      return broken();
    }
    if (args.length > f.params.length || depth > mostDepth) {
      const found = { of: 'this function', most: f.params.length, found: args.length };
      ctx.log.report('call/too-many', found, labels);
      return broken();
    }
    const names = new Map(f.params.map((p, i) => [p.text, args[i] ?? broken()]));
    return go(f.body, f.scope, names, depth + 1);
  }

  /** Whatever does not mention the function's own names: compile-time values and tensors. */
  function outside(e: ExprAst, scope: Scope): Value {
    return valueOf(site.outside(e, scope), e, scope);
  }

  function valueOf(t: Thing, e: ExprAst, scope: Scope): Value {
    switch (t.kind) {
      case 'int':
        return scalarValue(num(t.value, 'i32'));
      case 'real':
        return scalarValue(num(t.value, 'f32'));
      case 'bool':
        return scalarValue(bool(t.value));
      case 'dim':
      case 'open':
        if (ctx.mode !== 'open') break;
        return unknownValue(t.kind === 'open' && textOfType(t) === 'bool');
      case 'list':
        return listValue(t.items, e, scope);
      case 'tensor':
        if (t.expr.types.length === 1) return tensorValue(t.expr, e, scope);
        break;
      case 'error':
        return broken();
      case 'text':
      case 'template':
      case 'lambda':
      case 'part':
        break;
    }
    return mismatch(e, 'a number', describe(t));
  }

  /** A list of numbers, or of such lists, as an array. */
  function listValue(items: readonly Thing[], e: ExprAst, scope: Scope): LambdaValue {
    if (items.length === 0 || items.length > mostPicked) {
      return mismatch(e, `a list of 1 to ${mostPicked} numbers`, `one of ${items.length}`);
    }
    const values = items.map((x) => withRow(valueOf(x, e, scope), e));
    if (failed) return broken();
    return stacked(values) ?? mismatch(e, 'lists of one length', 'lists of several');
  }

  function tensorValue(x: TypedExpr, e: ExprAst, scope: Scope): Value {
    if (failed) return broken();
    const own = handIn(ctx, scope, x);
    if (!own) {
      ctx.log.report('attention/foreign', { name: textOf(e) }, [{ span: e.span, text: '' }]);
      return broken();
    }
    const [first] = typeOf(x).shape;
    const rows = first !== undefined && sameDim(first, symbol('t'));
    return rows ? { rows: own } : arrayOf(own, site.capture(own, false), 0);
  }

  /** The axes of a captured tensor from `skip` on. */
  function arrayOf(x: TypedExpr, operand: number, skip: number): LambdaValue {
    const { dtype, shape } = typeOf(x);
    const sizes = shape.slice(skip).map((d) => constantDim(d) ?? -1);
    const type = dtype === 'i32' ? 'i32' : 'f32';
    return { shape: sizes, at: (index) => at(operand, index, type) };
  }

  function indexed(e: ExprOf<'index'>, of: Value, index: readonly LambdaValue[]): LambdaValue {
    if (failed) return broken();
    const name = textOf(e.of);
    const places = index.map((v, n) => scalarOf(v, e.at[n] ?? e));
    if ('rows' in of) {
      const [row, ...rest] = places;
      const param = row?.op === 'var' ? declared[params.indexOf(row.name)] : undefined;
      if (param?.row === undefined) {
        const span = e.at[0]?.span ?? e.span;
        ctx.log.report('attention/row', { name }, [{ span, text: '' }]);
        return broken();
      }
      const operand = site.capture(of.rows, param.row === 'key');
      return applied(e, name, arrayOf(of.rows, operand, 1), rest, 1);
    }
    return applied(e, name, of, places, 0);
  }

  /** An array with its first axes indexed. */
  function applied(
    e: ExprOf<'index'>,
    name: string,
    of: LambdaValue,
    places: readonly Expr[],
    before: number,
  ): LambdaValue {
    if (places.length > of.shape.length && !failed) {
      const most = of.shape.length + before;
      ctx.log.report('attention/indices', { name, most, found: places.length + before }, [
        { span: e.span, text: '' },
      ]);
      return broken();
    }
    const whole = places.map((p) => (p.dtype === 'i32' ? p : cast(unary('floor', p), 'i32')));
    for (const [n, p] of whole.entries()) {
      const size = of.shape[n] ?? -1;
      if (p.op !== 'const' || size < 0 || (p.value >= 0 && p.value < size)) continue;
      const span = e.at[n + before]?.span ?? e.span;
      ctx.log.report('attention/range', { name, index: p.value, size }, [{ span, text: '' }]);
      return broken();
    }
    const shape = of.shape.slice(places.length);
    if (shape.length === 0) return scalarValue(of.at(whole));
    return { shape, at: (rest) => of.at([...whole, ...rest]) };
  }
}

const textOf = (e: ExprAst): string => e.span.source.text.slice(e.span.start, e.span.end);

const textOfType = (t: Extract<Thing, { kind: 'open' }>): string | undefined =>
  t.type?.kind === 'name' ? t.type.name.text : undefined;
