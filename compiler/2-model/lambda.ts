/** Functions of scalars, `|i, j| j <= i`, to scalar expressions. */
import { unreachable } from '../base/invariant.ts';
import type { AttrSpec } from '../ops/op.ts';
import type { ExprAst } from '../1-syntax/ast.ts';
import {
  type Expr,
  type ScalarFn,
  type ScalarType,
  type UnaryOp,
  arithmetic,
  bool,
  cast,
  compare,
  max,
  min,
  num,
  select,
  unary,
  variable,
} from '../scalar/expr.ts';
import { nearestName } from '../base/messages/nearest.ts';
import { type Context, type Scope, type Thing, describe, lookup } from './scope.ts';

type Lambda = Extract<Thing, { kind: 'lambda' }>;

const functions: Readonly<Record<string, UnaryOp>> = {
  exp: 'exp',
  log: 'log',
  tanh: 'tanh',
  abs: 'abs',
  sqrt: 'sqrt',
  floor: 'floor',
};

const comparisons = {
  '<': 'lt',
  '<=': 'le',
  '>': 'gt',
  '>=': 'ge',
  '==': 'eq',
  '!=': 'ne',
} as const;
const operators = { '+': 'add', '-': 'sub', '*': 'mul', '/': 'div', '%': 'rem' } as const;

/**
 * The function as an attribute of an op. `constantOf` evaluates what the lambda takes from around it.
 * Undefined after a mistake.
 */
export function lowerLambda(
  ctx: Context,
  lambda: Lambda,
  spec: AttrSpec,
  constantOf: (e: ExprAst, scope: Scope) => Thing,
): ScalarFn | undefined {
  const declared = spec.params ?? [];
  if (lambda.params.length > declared.length) {
    const [first] = lambda.params;
    ctx.log.report(
      'call/too-many',
      { of: 'this function', most: declared.length, found: lambda.params.length },
      first ? [{ span: first.span, text: '' }] : [],
    );
    return undefined;
  }
  const types = new Map(lambda.params.map((p, i) => [p.text, declared[i]?.dtype ?? 'i32']));
  let failed = false;
  const body = go(lambda.body);
  if (failed) return undefined;
  const wanted: ScalarType = spec.result ?? 'f32';
  if (wanted === 'bool' && body.dtype !== 'bool') {
    fail('type/kind', lambda.body, 'a truth value', 'a number');
    return undefined;
  }
  return {
    params: lambda.params.map((p) => p.text),
    body: wanted === 'f32' ? cast(body, 'f32') : body,
  };

  function fail(code: 'type/kind', at: ExprAst, expected: string, found: string): Expr {
    failed = true;
    ctx.log.report(code, { what: 'a function', expected, found }, [{ span: at.span, text: '' }]);
    return num(0);
  }

  function truth(e: Expr, at: ExprAst): Expr {
    return failed || e.dtype === 'bool' ? e : fail('type/kind', at, 'a truth value', 'a number');
  }

  function numeric(e: Expr, at: ExprAst): Expr {
    return failed || e.dtype !== 'bool' ? e : fail('type/kind', at, 'a number', 'a truth value');
  }

  function go(e: ExprAst): Expr {
    switch (e.kind) {
      case 'name': {
        const own = types.get(e.name);
        if (own) return variable(e.name, own);
        if (!lookup(lambda.scope, e.name)) {
          failed = true;
          const nearest = nearestName(e.name, types.keys());
          ctx.log.report('name/unknown', { name: e.name, nearest }, [{ span: e.span, text: '' }]);
          return num(0);
        }
        return outside(e);
      }
      case 'number':
        return num(e.value, e.whole ? 'i32' : 'f32');
      case 'bool':
        return bool(e.value);
      case 'unary': {
        const of = go(e.of);
        return e.op === 'not'
          ? unary('not', truth(of, e.of))
          : unary('neg', cast(numeric(of, e.of), 'f32'));
      }
      case 'if': {
        const [a, b] = same(go(e.a), go(e.b));
        return select(truth(go(e.when), e.when), a, b);
      }
      case 'binary':
        return binary(e);
      case 'call':
        return call(e);
      case 'hole':
      case 'index':
      case 'list':
      case 'member':
      case 'text':
        return outside(e);
      case 'as':
      case 'lambda':
        return fail('type/kind', e, 'a number', 'something else');
      default:
        return unreachable(e);
    }
  }

  function binary(e: Extract<ExprAst, { kind: 'binary' }>): Expr {
    if (e.op === 'and' || e.op === 'or') {
      return arithmetic(e.op, truth(go(e.a), e.a), truth(go(e.b), e.b));
    }
    const [a, b] = same(numeric(go(e.a), e.a), numeric(go(e.b), e.b));
    if (e.op === '@' || e.op === '^') return fail('type/kind', e, 'arithmetic on numbers', e.op);
    if (e.op in comparisons) return compare(comparisons[e.op as keyof typeof comparisons], a, b);
    const op = operators[e.op as keyof typeof operators];
    // Division of positions is a division of numbers unless both sides are whole.
    return arithmetic(op, a, b);
  }

  function call(e: Extract<ExprAst, { kind: 'call' }>): Expr {
    if (e.callee.kind !== 'name') return outside(e);
    const args = e.args.map((a) => a.value);
    const { name } = e.callee;
    const [x, y] = args;
    const f = Object.hasOwn(functions, name) ? functions[name] : undefined;
    if (f && x && args.length === 1) return unary(f, cast(numeric(go(x), x), 'f32'));
    if ((name === 'min' || name === 'max') && x && y && args.length === 2) {
      const [a, b] = same(numeric(go(x), x), numeric(go(y), y));
      return name === 'min' ? min(a, b) : max(a, b);
    }
    return outside(e);
  }

  /** Whatever does not mention the function's own names is a compile-time value. */
  function outside(e: ExprAst): Expr {
    const t = constantOf(e, lambda.scope);
    // A block checked alone does not know the value: any gives the same types.
    if (ctx.mode === 'open' && t.kind === 'dim') return num(1, 'i32');
    if (ctx.mode === 'open' && t.kind === 'open') return openValue(t);
    if (t.kind === 'int') return num(t.value, 'i32');
    if (t.kind === 'real') return num(t.value, 'f32');
    if (t.kind === 'bool') return bool(t.value);
    if (t.kind === 'error') {
      failed = true;
      return num(0);
    }
    // The value of a number that a block checked alone does not know changes no type.
    if (ctx.mode === 'open' && t.kind === 'dim') return num(1, 'i32');
    if (ctx.mode === 'open' && t.kind === 'open') return num(1, 'f32');
    return fail('type/kind', e, 'a number', describe(t));
  }
}

function openValue({ type }: Extract<Thing, { kind: 'open' }>): Expr {
  const name = type?.kind === 'name' ? type.name.text : '';
  return name === 'bool' ? bool(true) : num(1, name === 'real' ? 'f32' : 'i32');
}

/** Two numbers of one type: whole ones become real where they meet real ones. */
function same(a: Expr, b: Expr): readonly [Expr, Expr] {
  if (a.dtype === b.dtype) return [a, b];
  return [toReal(a), toReal(b)];
}

const toReal = (e: Expr): Expr =>
  e.op === 'const' && e.dtype === 'i32' ? { ...e, dtype: 'f32' } : cast(e, 'f32');
