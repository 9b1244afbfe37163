/** Random templates that follow the grammar: every form of statement and expression occurs. */
import type {
  ArgAst,
  BinaryOp,
  ExprAst,
  Name,
  ParamDecl,
  ShapeAst,
  StmtAst,
  TemplateAst,
  TypeAst,
  WeightAst,
} from '../../compiler/1-syntax/ast.ts';
import { printAst } from '../../compiler/1-syntax/print.ts';
import type { Span } from '../../compiler/base/source.ts';
import type { Random } from './random.ts';
import { scatter } from './tokens.ts';

const span: Span = { source: { file: '', text: '', line: 1, column: 1 }, start: 0, end: 0 };

const words = [
  'x', 'y', 'q', 'k', 'v', 'n', 'd', 't', 'heads', 'head', 'window', 'l', 'i', 'j', 'x_1', '_',
  'iff', 'as_is', 'notes', 'weights', 'returned', 'from_here', 'T', 'group', 'sqrt', 'attend',
  'constructor', '__proto__', 'toString', 'hasOwnProperty', 'a_rather_long_name_of_something',
]; // prettier-ignore
const dtypes = ['f32', 'i32', 'bf16', 'u8', 'bool', 'f33'];
const typeNames = ['int', 'real', 'bool', 'text', 'block', 'fn', 'other'];
const operators: readonly BinaryOp[] = [
  'or', 'and', '<', '<=', '>', '>=', '==', '!=', '+', '-', '*', '/', '%', '@', '^',
]; // prettier-ignore
const reals = [0.5, 1.5, 1e-5, 5e-324, 1.7976931348623157e308, 1e21, 123456789.125, 2 ** 60];
const wholes = [0, 1, 2, 3, 8, 64, 4096, 1_000_000, Number.MAX_SAFE_INTEGER];
const texts = ['', 'weight', 'experts.*.up', "it's", 'say "so"', 'ä → 中 🙂', '//', '/* */'];

/** The tree of a template; how deep expressions and bodies go is up to `size`, say 3. */
export function randomProgram(random: Random, size = 3): TemplateAst {
  const name = (text = random.pick(words)): Name => ({ text, span });
  const names = (most: number): Name[] => random.list(1, most, () => name());
  const path = (): Name => name(random.list(1, 3, () => random.pick(words)).join('.'));
  const maybe = <T>(make: () => T): T | undefined => (random.oneIn(2) ? make() : undefined);
  const from = () => maybe(() => ({ value: random.pick(texts), span }));
  const hole = (): ExprAst => ({ kind: 'hole', index: holes++, span });
  let holes = 0;

  function leaf(): ExprAst {
    switch (random.below(8)) {
      case 0:
        return { kind: 'number', value: random.pick(wholes), whole: true, span };
      case 1:
        return { kind: 'number', value: random.pick(reals), whole: false, span };
      case 2:
        return { kind: 'text', value: random.pick(texts), span };
      case 3:
        return { kind: 'bool', value: random.oneIn(2), span };
      case 4:
        return random.oneIn(3) ? hole() : { kind: 'name', name: random.pick(words), span };
      default:
        return { kind: 'name', name: random.pick(words), span };
    }
  }

  function expr(depth: number): ExprAst {
    if (depth <= 0) return leaf();
    const inner = (): ExprAst => expr(depth - 1 - random.below(2));
    switch (random.below(14)) {
      case 0:
        return { kind: 'list', items: random.list(0, 3, inner), span };
      case 1:
      case 2:
        return { kind: 'call', callee: inner(), args: args(depth - 1), span };
      case 3:
        return { kind: 'index', of: inner(), at: random.list(1, 2, inner), span };
      case 4:
        return { kind: 'member', of: inner(), name: random.pick([...words, 'T', 'T']), span };
      case 5:
        return { kind: 'as', of: inner(), shape: shape(depth - 1), span };
      case 6:
        return { kind: 'unary', op: random.pick(['not', '-'] as const), of: inner(), span };
      case 7:
        return { kind: 'if', when: inner(), a: inner(), b: inner(), span };
      case 8:
        return { kind: 'lambda', params: names(3), body: inner(), span };
      case 9:
        return leaf();
      default:
        return { kind: 'binary', op: random.pick(operators), a: inner(), b: inner(), span };
    }
  }

  function args(depth: number): ArgAst[] {
    return random.list(0, 3, () => ({
      name: random.oneIn(3) ? name(random.pick([...words, 'from'])) : undefined,
      value: expr(depth),
    }));
  }

  function shape(depth: number): ShapeAst {
    const rest = random.oneIn(4);
    const dims = random.list(0, 3, () => expr(Math.min(depth, 1)));
    return { dtype: random.oneIn(4) ? name(random.pick(dtypes)) : undefined, rest, dims, span };
  }

  const type = (depth = 2): TypeAst =>
    depth > 0 && random.oneIn(4)
      ? { kind: 'list', of: type(depth - 1), span }
      : { kind: 'name', name: name(random.pick(typeNames)) };

  const weight = (): WeightAst => ({ path: path(), shape: shape(1), from: from() });
  const body = (depth: number): StmtAst[] => random.list(0, 4, () => statement(depth));

  function statement(depth: number): StmtAst {
    switch (random.below(depth > 0 ? 9 : 6)) {
      case 0:
        return { kind: 'weight', weights: random.list(1, 3, weight), span };
      case 1: {
        const callee: ExprAst = random.oneIn(2)
          ? hole()
          : { kind: 'name', name: random.pick(words), span };
        return { kind: 'use', path: path(), callee, args: args(size - 1), from: from(), span };
      }
      case 2:
        return { kind: 'return', values: random.list(1, 2, () => expr(size)), span };
      case 3:
      case 4:
      case 5:
        return { kind: 'assign', names: names(2), value: expr(size), span };
      case 6: {
        const [own, variable] = [name(), name()];
        const count = expr(1);
        return { kind: 'repeat', name: own, variable, count, from: from(), body: body(depth - 1), span }; // prettier-ignore
      }
      default:
        return {
          kind: 'if',
          when: expr(size - 1),
          then: body(depth - 1),
          otherwise: random.oneIn(2) ? body(depth - 1) : [],
          span,
        };
    }
  }

  const param = (): ParamDecl => ({
    name: name(),
    type: type(),
    default: maybe(() => expr(2)),
  });

  return inOrder({
    name: name(),
    inputs: random.list(0, 3, () => ({ name: name(), shape: shape(1) })),
    params: random.list(0, 3, param),
    results: maybe(() => random.list(1, 2, () => shape(1))),
    body: body(2),
    span,
  });
}

/** Holes get their numbers in the order of the text. */
function inOrder(ast: TemplateAst): TemplateAst {
  let next = 0;
  const visit = (v: unknown): unknown => {
    if (typeof v !== 'object' || v === null) return v;
    if (Array.isArray(v)) return v.map(visit);
    if ('kind' in v && v.kind === 'hole') return { ...v, index: next++ };
    const entries = Object.entries(v).map(([k, x]) => [k, k === 'span' ? span : visit(x)] as const);
    return Object.fromEntries(entries);
  };
  return visit(ast) as TemplateAst; // cast: the same structure with other numbers
}

/** A program as text with holes `${n}`: canonical, or with comments and odd space between tokens. */
export function randomText(random: Random, layout: 'canonical' | 'odd', size = 3): string {
  const text = printAst(randomProgram(random, size));
  return layout === 'canonical' ? text : scatter(text, random);
}
