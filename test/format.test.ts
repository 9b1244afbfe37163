/** Templates laid out anew: same tokens, same tree, every comment; twice is once. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { makeLog } from '../compiler/base/diagnostic.ts';
import { renderAll } from '../compiler/base/render.ts';
import { formatText } from '../compiler/1-syntax/format.ts';
import { parse, parseSheet } from '../compiler/1-syntax/parse.ts';
import { type SheetKind, isSheetKind } from '../compiler/1-syntax/template.ts';
import { formatFile } from '../compiler/editor/format.ts';
import { randomProgram } from './helpers/programs.ts';
import { makeRandom } from './helpers/random.ts';
import { templateOf } from './helpers/template.ts';
import { piecesOf, scatter } from './helpers/tokens.ts';
import { printAst } from '../compiler/1-syntax/print.ts';

type Kind = 'block' | SheetKind;

function format(text: string, kind: Kind = 'block', indent = ''): string {
  const log = makeLog();
  const { source } = templateOf(text);
  const holes = [...text.matchAll(/\$\{\d+\}/g)].map((m) => m[0]);
  const laid = formatText(
    kind,
    source,
    holes,
    { indent, column: indent.length + 6, width: 100 },
    log,
  );
  expect(renderAll(log.diagnostics())).toBe('');
  return laid ?? text;
}

function treeOf(text: string, kind: Kind): unknown {
  const log = makeLog();
  const { source } = templateOf(text);
  const tree = isSheetKind(kind)
    ? parseSheet({ kind, source, holes: [] }, log)
    : parse(templateOf(text), log);
  expect(renderAll(log.diagnostics())).toBe('');
  return JSON.parse(JSON.stringify(tree, (k, v: unknown) => (k === 'span' ? undefined : v)));
}

/** Tokens and comments, in order. */
const written = (text: string): readonly string[] =>
  piecesOf(text)
    .map((p) => p.text.trim())
    .filter((t) => t !== '');

const seeds = Array.from({ length: 1000 }, (_, i) => i);

test('a random program keeps its tree and every comment in order; formatting twice is formatting once', () => {
  for (const seed of seeds) {
    const random = makeRandom(seed);
    const odd = scatter(printAst(randomProgram(random)), random);
    const once = format(odd, 'block', seed % 2 ? '    ' : '');
    const why = `seed ${seed}\n${odd}\n-----\n${once}`;
    expect(written(once), why).toEqual(written(odd));
    expect(treeOf(once, 'block'), why).toEqual(treeOf(odd, 'block'));
    expect(format(once, 'block', seed % 2 ? '    ' : ''), why).toBe(once);
  }
}, 180_000);

const sheet = `group gpu=\${0} group cpu = \${1}
layers [ 3 .. ] , ** :attention [ heads>4 ] [::4]{weights:\${2};activations : q( 1,n=-2 )}
* . router[-1] {residency: if a then b else c}`;

test('a sheet in any layout keeps its tree and comments; twice is once', () => {
  const random = makeRandom(7);
  for (const kind of ['precision', 'place', 'decode'] as const) {
    for (let n = 0; n < 100; n++) {
      const odd = scatter(sheet, random);
      const once = format(odd, kind);
      const why = `${odd}\n-----\n${once}`;
      expect(written(once), why).toEqual(written(odd));
      expect(treeOf(once, kind), why).toEqual(treeOf(sheet, kind));
      expect(format(once, kind), why).toBe(once);
    }
  }
});

test('a shape stands on one line: the list or the parentheses before it break', () => {
  const names = 'a_rather_long_name: int, another_rather_long_name: int, a_third_name: int';
  const text = `f(x: [t, d]; ${names}) -> [t, d] {
    return (x @ a_rather_long_matrix.T + another_rather_long_value) as [t, another_rather_long_name, d + 1]
  }`;
  expect(format(text)).toBe(`
  f(
    x: [t, d];
    a_rather_long_name: int,
    another_rather_long_name: int,
    a_third_name: int
  ) -> [t, d] {
    return (
      x @ a_rather_long_matrix.T + another_rather_long_value
    ) as [t, another_rather_long_name, d + 1]
  }
`);
});

test('a sheet is laid out with one rule a line, blocks as they stood', () => {
  expect(format(sheet, 'place')).toBe(`
  group gpu = \${0}
  group cpu = \${1}
  layers[3..], **:attention[heads > 4][::4] { weights: \${2}; activations: q(1, n = -2) }
  *.router[-1] { residency: if a then b else c }
`);
});

test('what is too long breaks at its commas and before its operators', () => {
  const text = `long(x: [t, d]; heads: int, head: int, rank: int, rotary: bool, window: int, eps: real = 1e-5) -> [t, d] {
    // first
    y = a_rather_long_name_of_something * a_rather_long_name_of_something + a_rather_long_name_of_something


    use q=\${0}(a_rather_long_name = 1,another_rather_long_name=2, a_third_rather_long_name = |i,j| j<=i) // last
    if rotary{z = -y}else if  heads==1 { z=y } else {
      z = x } return z }`;
  expect(format(text)).toBe(`
  long(
    x: [t, d];
    heads: int,
    head: int,
    rank: int,
    rotary: bool,
    window: int,
    eps: real = 1e-5
  ) -> [t, d] {
    // first
    y = a_rather_long_name_of_something * a_rather_long_name_of_something
      + a_rather_long_name_of_something

    use q = \${0}(
      a_rather_long_name = 1,
      another_rather_long_name = 2,
      a_third_rather_long_name = |i, j| j <= i
    ) // last
    if rotary { z = -y } else if heads == 1 { z = y } else {
      z = x
    }
    return z
  }
`);
});

test('only the templates of a file change, and those with mistakes stay', () => {
  const file = `import { block, model } from 'cograph';
const   odd = 1 ;
  export const f = block\`f(x:[a])->[a]{return x}\`;
const bad = block\`f(x:[a] { return x }\`;
const s = \`f(x:[a])\`;
`;
  const { text, edits, mistakes } = formatFile('/m.ts', file);
  expect(text).toBe(file.replace('f(x:[a])->[a]{return x}', 'f(x: [a]) -> [a] { return x }'));
  expect(edits).toHaveLength(1);
  expect(mistakes.length).toBeGreaterThan(0);
});

test('a file with carriage returns keeps them', () => {
  const file =
    "import { block } from 'cograph';\r\nconst f = block`\r\nf(x:[a]) {\r\nreturn x }`;\r\n";
  const { text } = formatFile('/m.ts', file);
  expect(text.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/);
  expect(formatFile('/m.ts', text).edits).toEqual([]);
});

test('the bard formats to itself after once', () => {
  const file = new URL('../examples/bard/model.ts', import.meta.url);
  const once = formatFile(file.pathname, readFileSync(file, 'utf8'));
  expect(once.mistakes).toEqual([]);
  expect(formatFile(file.pathname, once.text).edits).toEqual([]);
});

const main = fileURLToPath(new URL('../compiler/cli/main.ts', import.meta.url));
const cograph = (args: readonly string[], input = '') =>
  spawnSync(process.execPath, ['--conditions=source', '--import', 'tsx', main, 'fmt', ...args], {
    input,
    encoding: 'utf8',
  });

test('cograph fmt tells what differs, writes it, and has nothing left to do', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cograph-fmt-'));
  const file = join(folder, 'm.ts');
  const text = "import { block } from 'cograph';\nconst f = block`f(x:[a]) {return x}`;\n";
  try {
    writeFileSync(file, text);
    expect(cograph(['--check', folder])).toMatchObject({
      status: 1,
      stdout: `different  ${file}\n`,
    });
    expect(readFileSync(file, 'utf8')).toBe(text);
    expect(cograph([folder])).toMatchObject({ status: 0, stdout: `written  ${file}\n` });
    const wanted = text.replace('f(x:[a]) {return x}', 'f(x: [a]) { return x }');
    expect(readFileSync(file, 'utf8')).toBe(wanted);
    expect(cograph(['--check', file])).toMatchObject({ status: 0, stdout: '' });
    expect(cograph(['--stdin-filepath', file], text).stdout).toBe(wanted);
    expect(readdirSync(folder)).toEqual(['m.ts']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
