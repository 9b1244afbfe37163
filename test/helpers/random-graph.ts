/**
 * Random graphs as data: every kind of node and attribute, odd names, numbers at the ends of their
 * range. They are not well typed: they are for what prints and reads, not for what computes.
 */
import type { Dim } from '../../compiler/base/dim.ts';
import { symbol } from '../../compiler/base/dim.ts';
import { type DType, type TensorType, bytesOf, stepSymbols } from '../../compiler/base/type.ts';
import type { Carried, Graph, Node, ValueId } from '../../compiler/3-graph/graph.ts';
import { type OpName, isOpName, opOf, ops } from '../../compiler/ops/index.ts';
import type { AttrSpec, AttrValue } from '../../compiler/ops/op.ts';
import {
  type Expr,
  type ScalarFn,
  arithmetic,
  bool,
  cast,
  compare,
  compareOps,
  num,
  select,
  unary,
  variable,
} from '../../compiler/scalar/expr.ts';
import type { Random } from './random.ts';

const names = [
  'w', 'layers.{0+1i}.self_attn.k', 'a.{1+3i}.b.{0+1i}', '', ' ', '"', '\\', 'x" from "y', '\n', '\u2028',
  'ä.中.🙂', '\ud800', '__proto__', 'constructor', ' keeps "a" f32[1]', '} = ; {', '%1', '//', "it's",
]; // prettier-ignore
const reals = [0, -0, 1, -1, 0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -1e21, 1e-7, Infinity, -Infinity, NaN, 2 ** 53]; // prettier-ignore
const wholes = [0, 1, -1, 2, 7, 4096, 2 ** 31 - 1, -(2 ** 31), Number.MAX_SAFE_INTEGER];
const dtypes = Object.keys(bytesOf) as DType[]; // keys of the record
const opNames = Object.keys(ops).filter(isOpName);
const fields = ['ids', 'position', 'rows'] as const;

export function randomGraph(random: Random): Graph {
  const types = new Map<ValueId, TensorType>();
  const dim = (): Dim =>
    random.oneIn(3) ? symbol(random.pick(stepSymbols)) : 1 + random.below(random.pick([4, 1e6]));
  const fresh = (): ValueId => {
    const id = types.size;
    types.set(id, { dtype: random.pick(dtypes), shape: random.list(0, 4, dim) });
    return id;
  };
  const value = (): ValueId => random.below(Math.max(1, types.size));

  function node(depth: number): Node {
    switch (random.below(depth > 0 ? 6 : 5)) {
      case 0:
        return { kind: 'step', field: random.pick(fields), result: fresh() };
      case 1: {
        const name = random.pick(names);
        const source = random.oneIn(2) ? name : random.pick(names);
        return { kind: 'weight', name, source, result: fresh() };
      }
      case 2:
        return { kind: 'constant', value: random.pick(reals), result: fresh() };
      case 5: {
        const carried = random.list(0, 3, () => ({ initial: value(), param: fresh() }));
        const body = random.list(0, 4, () => node(depth - 1));
        const whole = carried.map((c): Carried => ({ ...c, next: value(), result: fresh() }));
        return { kind: 'loop', count: 1 + random.below(61), carried: whole, body };
      }
      default:
        return operation(random.pick(opNames));
    }
  }

  function operation(op: OpName): Node {
    const def = opOf(op);
    const attrs = Object.fromEntries(
      Object.entries(def.attrs).map(([key, spec]) => [key, attribute(random, spec)]),
    );
    const inputs = random.list(def.operands.length, def.operands.length, value);
    const results = def.results.map(fresh);
    if (!def.state && !random.oneIn(8)) return { kind: 'op', op, inputs, attrs, results };
    const spec = { row: random.list(0, 3, () => random.below(99)), dtype: random.pick(dtypes) };
    return { kind: 'op', op, inputs, attrs, results, state: { name: random.pick(names), spec } };
  }

  const nodes = [
    { kind: 'step', field: 'ids', result: fresh() } as const,
    ...random.list(0, 8, () => node(2)),
  ];
  const results = random.list(1, 3, value);
  return {
    name: random.pick(['g', 'm_1', '__proto__']),
    nodes,
    results,
    types,
    origins: new Map(),
  };
}

function attribute(random: Random, spec: AttrSpec): AttrValue {
  switch (spec.kind) {
    case 'int':
      return random.pick(wholes);
    case 'real':
      return random.pick(reals);
    case 'bool':
      return random.oneIn(2);
    case 'text':
      return random.pick(names);
    case 'ints':
      return random.list(0, 4, () => random.pick(wholes));
    case 'reals':
      return random.list(0, 4, () => random.pick(reals));
    case 'fn':
      return randomFn(random, spec);
  }
}

/** A function of an attribute's parameters and type. */
export function randomFn(random: Random, spec: AttrSpec): ScalarFn {
  const declared = spec.params ?? [];
  const params = declared.slice(0, 1 + random.below(declared.length)).map((p) => p.name);
  type Number = 'i32' | 'f32';
  const number = (dtype: Number, depth: number): Expr => {
    const own = declared.filter((p) => params.includes(p.name) && p.dtype === dtype);
    if (depth === 0 || random.oneIn(5)) {
      if (own.length > 0 && random.oneIn(2)) return variable(random.pick(own).name, dtype);
      return dtype === 'i32'
        ? num(random.pick(wholes.slice(0, 6)), 'i32')
        : num(random.pick(reals));
    }
    const inner = (): Expr => number(dtype, depth - 1);
    const pick = random.below(7);
    if (pick === 0) return cast(number(dtype === 'i32' ? 'f32' : 'i32', depth - 1), dtype);
    if (pick === 1) return select(truth(depth - 1), inner(), inner());
    if (pick === 2 && dtype === 'f32') {
      return unary(random.pick(['neg', 'abs', 'sqrt', 'exp', 'tanh', 'floor', 'log'] as const), inner()); // prettier-ignore
    }
    if (pick === 3 && dtype === 'i32') {
      return arithmetic(random.pick(['and', 'or', 'xor', 'shl', 'shr'] as const), inner(), inner());
    }
    return arithmetic(random.pick(['add', 'sub', 'mul', 'div', 'rem', 'min', 'max'] as const), inner(), inner()); // prettier-ignore
  };
  const truth = (depth: number): Expr => {
    if (depth === 0) return bool(random.oneIn(2));
    const inner = (): Expr => truth(depth - 1);
    const pick = random.below(5);
    if (pick === 0) return unary('not', inner());
    if (pick === 1) return arithmetic(random.pick(['and', 'or'] as const), inner(), inner());
    const dtype = random.pick(['i32', 'f32'] as const);
    return compare(random.pick(compareOps), number(dtype, depth - 1), number(dtype, depth - 1));
  };
  return { params, body: spec.result === 'bool' ? truth(3) : number('f32', 3) };
}
