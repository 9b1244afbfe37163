/** Templates read out of TypeScript text. */
import { expect, test } from 'vitest';
import { readTemplates } from '../compiler/editor/templates.ts';

const door = "import { block, model as net } from 'cograph';\nimport * as co from 'cograph';\n";
const read = (text: string) => readTemplates('/a.ts', door + text).templates;

test('tags are found under other names, in namespaces and with a type argument', () => {
  const found = read(
    'const a = net`a() {}`;\nconst b: Template = co.block<{ n: Map<string, number[]> }>`b() {}`;\nfoo`no`;',
  );
  expect(found.map((t) => [t.tag, t.name, t.closed])).toEqual([
    ['model', 'a', true],
    ['block', 'b', true],
  ]);
  const text =
    door + 'const a = net`a() {}`;\nconst b: Template = co.block<{ n: Map<string, number[]> }>`';
  const type = found[1]?.typeArgument;
  expect(text.slice(type?.start, type?.end)).toBe('{ n: Map<string, number[]> }');
});

test('holes keep their places, nested templates and comments inside', () => {
  const text = 'const a = block`a() { use b = ${block`b() { ${1} }`}(${[2, -3]}) /* ${"}"} */ }`;';
  const [outer, inner] = read(text);
  const file = door + text;
  expect(outer?.holes.map((h) => file.slice(h.range.start, h.range.end))).toEqual([
    '${block`b() { ${1} }`}',
    '${[2, -3]}',
    '${"}"}',
  ]);
  expect(outer?.source.text.split('\uE000').length).toBe(4);
  expect(inner?.holes.map((h) => h.code.kind)).toEqual(['literal']);
});

test('offsets lead from the text that a tag sees to the file, also with Windows line ends', () => {
  const text = `${door}const a = block\`a(x: [t]) {\r\n  return ${'${b}'} + x\r\n}\`;`;
  const [a] = readTemplates('/a.ts', text).templates;
  const at = a?.source.text.indexOf('+ x') ?? 0;
  expect(a?.source.text).not.toContain('\r');
  expect(text.slice(a?.offsets[at], (a?.offsets[at] ?? 0) + 3)).toBe('+ x');
});

test.each([
  'const a = block`a(',
  'const a = block`a() ${',
  'const a = block`a() ${b',
  'block`${`',
  'const a = (',
])('a text that is not finished has templates all the same: %s', (text) => {
  const found = read(text);
  for (const t of found) expect(t.pieces.length).toBe(t.holes.length + 1);
  if (text.includes('block')) expect(found[0]?.closed).toBe(false);
});
