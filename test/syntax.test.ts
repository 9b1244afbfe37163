import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BinaryOp, ExprAst } from '../compiler/1-syntax/ast.ts';
import { printAst, showExpr } from '../compiler/1-syntax/print.ts';
import { render } from '../compiler/base/render.ts';
import { placeOf } from '../compiler/base/source.ts';
import { gqa } from '../stdlib/attention/gqa.ts';
import { mfa } from '../stdlib/attention/mfa.ts';
import { decoder } from '../stdlib/families/decoder.ts';
import { makeLog } from '../compiler/base/diagnostic.ts';
import { parse } from '../compiler/1-syntax/parse.ts';
import { parses, syntaxMistakes } from './helpers/template.ts';

/** The expression of `return` in a block around it. */
function expression(text: string): ExprAst {
  const [last] = parses(`f(x: [t, d]) -> [t, d] { return ${text} }`).body;
  if (last?.kind !== 'return' || !last.values[0]) throw new Error('no return');
  return last.values[0];
}

const withoutSpans = (tree: unknown): unknown =>
  JSON.parse(JSON.stringify(tree, (key, value: unknown) => (key === 'span' ? undefined : value)));

describe('expressions are read as written', () => {
  test.each([
    ['a + b * c', 'a + b * c'],
    ['(a + b) * c', '(a + b) * c'],
    ['a - b - c', 'a - b - c'],
    ['a - (b - c)', 'a - (b - c)'],
    ['a ^ b ^ c', 'a ^ b ^ c'],
    ['(a ^ b) ^ c', '(a ^ b) ^ c'],
    ['theta ^ (-2 * iota(n / 2) / n)', 'theta ^ (-2 * iota(n / 2) / n)'],
    ['-a ^ 2', '-a ^ 2'],
    ['(-a) ^ 2', '(-a) ^ 2'],
    ['x @ w.T + b', 'x @ w.T + b'],
    ['x * y @ w', 'x * y @ w'],
    ['(x @ w) as [t, 1, d]', '(x @ w) as [t, 1, d]'],
    ['attend(q, k, v) as [t, n] @ o.T', 'attend(q, k, v) as [t, n] @ o.T'],
    ['not a and b or c', 'not a and b or c'],
    ['not (a and b)', 'not (a and b)'],
    ['|i, j| j <= i and i - j < window[l]', '|i, j| j <= i and i - j < window[l]'],
    ['if a then |i, j| j <= i else |i, j| j < i', 'if a then |i, j| j <= i else |i, j| j < i'],
    ['f(x)(y)[0].T', 'f(x)(y)[0].T'],
    ['f(x, from = 3, to = 1e-5)', 'f(x, from = 3, to = 0.00001)'],
    ['[1, 2.0, "a", true, []]', '[1, 2.0, "a", true, []]'],
  ])('%s', (text, printed) => {
    expect(showExpr(expression(text))).toBe(printed);
  });

  test('a keyword may begin a name', () => {
    expect(showExpr(expression('iff + as_is + notes + weights'))).toBe(
      'iff + as_is + notes + weights',
    );
  });

  test('comments are space', () => {
    expect(showExpr(expression('a // one\n + /* two\n lines */ b'))).toBe('a + b');
  });
});

const leaf = fc.oneof(
  fc.constantFrom<ExprAst>(
    ...['a', 'b', 'x_1'].map((name) => ({ kind: 'name', name, span: at() }) as const),
  ),
  fc.nat(1e6).map((value): ExprAst => ({ kind: 'number', value, whole: true, span: at() })),
  fc
    .double({ min: 0, noNaN: true, noDefaultInfinity: true })
    .map((v): ExprAst => ({ kind: 'number', value: v, whole: false, span: at() })),
  fc.boolean().map((value): ExprAst => ({ kind: 'bool', value, span: at() })),
);
const operators: readonly BinaryOp[] = [
  'or', 'and', '<', '<=', '>', '>=', '==', '!=', '+', '-', '*', '/', '%', '@', '^',
]; // prettier-ignore
const { expr } = fc.letrec<{ expr: ExprAst }>((tie) => ({
  expr: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.record({
      kind: fc.constant('binary' as const),
      op: fc.constantFrom(...operators),
      a: tie('expr'),
      b: tie('expr'),
      span: fc.constant(at()),
    }),
    fc.record({
      kind: fc.constant('unary' as const),
      op: fc.constantFrom('not' as const, '-' as const),
      of: tie('expr'),
      span: fc.constant(at()),
    }),
    fc.record({
      kind: fc.constant('if' as const),
      when: tie('expr'),
      a: tie('expr'),
      b: tie('expr'),
      span: fc.constant(at()),
    }),
    fc.record({
      kind: fc.constant('index' as const),
      of: tie('expr'),
      at: fc.array(tie('expr'), { minLength: 1, maxLength: 3 }),
      span: fc.constant(at()),
    }),
    fc.record({
      kind: fc.constant('list' as const),
      items: fc.array(tie('expr'), { maxLength: 3 }),
      span: fc.constant(at()),
    }),
  ),
}));

function at() {
  return { source: { file: '', text: '', line: 1, column: 1 }, start: 0, end: 0 };
}

describe('what is printed is read back', () => {
  test('any expression', () => {
    fc.assert(
      fc.property(expr, (e) => {
        expect(withoutSpans(expression(showExpr(e)))).toEqual(withoutSpans(e));
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ['mfa', mfa],
    ['gqa', gqa],
    ['decoder', decoder],
  ])('the block %s', (_, template) => {
    const log = makeLog();
    const ast = parse(template, log);
    expect(log.diagnostics()).toEqual([]);
    if (!ast) return;
    const printed = printAst(ast);
    expect(printAst(parses(printed))).toBe(printed);
    expect(withoutSpans(parses(printed))).toEqual(withoutSpans(ast));
  });
});

describe('a mistake in the syntax is told in words of the language', () => {
  test.each([
    ['f(x: [t, d] { return x }', /unexpected \{, expected/],
    ['f(x: [t, d]) -> [t, d] { return }', /unexpected \}, expected an expression/],
    ['f(x: [t, d]) -> [t, d] { y = x + * x return y }', /unexpected \*, expected an expression/],
    ['f(x: [t, d]) -> [t, d] { 3 }', /unexpected 3, expected a statement/],
    ['f(x: [t, d]) -> [t, d] { return x', /a \{ is not closed/],
    ['f(x: [t, d]) -> [t, d] { return x } }', /unexpected \}, expected the end of the template/],
    ['f(x: [t, d]) -> [t, d] { return x $ x }', /unexpected character \$/],
    ['f(x: [t, d]; n: ) -> [t, d] { return x }', /unexpected \), expected a type/],
    ['f(x: ) -> [t, d] { return x }', /unexpected \), expected a shape/],
    ['', /unexpected end of the template, expected/],
  ])('%s', (text, message) => {
    const mistakes = syntaxMistakes(text);
    expect(mistakes.map((m) => m.text).join('\n')).toMatch(message);
    expect(mistakes).toHaveLength(1);
    expect(mistakes.map(render).join('')).not.toMatch(/-->|token|undefined|NaN/i);
  });

  test('the place is the line and column of the token', () => {
    const [mistake] = syntaxMistakes('f(x: [t, d]) -> [t, d] {\n  return x +\n}\n');
    const span = mistake?.labels[0]?.span;
    expect(span && placeOf(span.source, span.start)).toEqual({ line: 3, column: 1 });
  });
});
