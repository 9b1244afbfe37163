/** Random programs: what is printed is read back, comments and space change nothing. */
import { expect, test } from 'vitest';
import { makeLog } from '../compiler/base/diagnostic.ts';
import { renderAll } from '../compiler/base/render.ts';
import { parse } from '../compiler/1-syntax/parse.ts';
import { printAst } from '../compiler/1-syntax/print.ts';
import type { StmtAst, TemplateAst } from '../compiler/1-syntax/ast.ts';
import { randomProgram } from './helpers/programs.ts';
import { makeRandom } from './helpers/random.ts';
import { templateOf } from './helpers/template.ts';
import { scatter } from './helpers/tokens.ts';

const withoutSpans = (tree: unknown): unknown =>
  JSON.parse(JSON.stringify(tree, (key, value: unknown) => (key === 'span' ? undefined : value)));

function read(text: string): TemplateAst {
  const log = makeLog();
  const ast = parse(templateOf(text), log);
  expect(renderAll(log.diagnostics())).toBe('');
  if (!ast) throw new Error('no tree');
  return ast;
}

const seeds = Array.from({ length: 1000 }, (_, i) => i);

test('a program that is printed is read back as it was, in any layout', () => {
  for (const seed of seeds) {
    const random = makeRandom(seed);
    const ast = randomProgram(random);
    const text = printAst(ast);
    expect(withoutSpans(read(text)), `seed ${seed}\n${text}`).toEqual(withoutSpans(ast));
    const odd = scatter(text, random);
    expect(printAst(read(odd)), `seed ${seed}\n${odd}`).toBe(text);
  }
});

test('every form of statement and expression occurs', () => {
  const kinds = new Set<string>();
  const visit = (v: unknown): void => {
    if (typeof v !== 'object' || v === null) return;
    if ('kind' in v && typeof v.kind === 'string') kinds.add(v.kind);
    Object.entries(v).forEach(([key, x]) => key !== 'span' && visit(x));
  };
  seeds.slice(0, 50).forEach((seed) => visit(randomProgram(makeRandom(seed))));
  const statements: readonly StmtAst['kind'][] = ['weight', 'use', 'repeat', 'if', 'assign', 'return']; // prettier-ignore
  const expressions = ['number', 'text', 'bool', 'name', 'hole', 'list', 'call', 'index', 'member', 'as', 'unary', 'binary', 'lambda']; // prettier-ignore
  expect([...statements, ...expressions].filter((k) => !kinds.has(k))).toEqual([]);
});
