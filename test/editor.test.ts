/** Templates read out of TypeScript text. */
import { expect, test } from 'vitest';
import { fileURLToPath } from 'node:url';
import { makeHost } from '../compiler/cli/workspace-host.ts';
import { completionsAt } from '../compiler/editor/complete.ts';
import { hoverAt } from '../compiler/editor/hover.ts';
import { renameAt } from '../compiler/editor/references.ts';
import { readTemplates } from '../compiler/editor/templates.ts';
import { makeWorkspace } from '../compiler/editor/workspace.ts';

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

const bard = fileURLToPath(new URL('../examples/bard/model.ts', import.meta.url));

test('hover on a part inside a repeat tells what it has and does, with the sizes of the bound model', () => {
  const workspace = makeWorkspace(makeHost());
  const text = workspace.file(bard)?.text ?? '';
  const hover = (marked: string): string =>
    hoverAt(workspace, bard, text.indexOf(marked.replace('|', '')) + marked.indexOf('|'))
      ?.markdown ?? '';
  const part = hover('use |self_attn');
  expect(part).toContain('block attention(\n  x: [t, d];\n  heads: int,\n');
  expect(part).toContain('\n) -> [t, d]\n');
  expect(part).toContain('Low-rank queries');
  expect(part).toMatch(/heads = 8, head = 32, rank = 96/);
  expect(part).toMatch(/[\d,]+ parameters, [\d,]+ bytes as f32, [\d,]+ FLOP per token/);
  expect(hover('|h = post')).toContain('here `f32[t, 192]`');
  expect(hover('attend|(q, k')).toContain('attend(');
  expect(hover('use |router')).toContain('block_sparse_moe');
});

const inMemory = (files: Readonly<Record<string, string>>) =>
  makeWorkspace({
    read: (path) => (files[path] === undefined ? undefined : { text: files[path], version: 0 }),
    resolve: (specifier) => (specifier.startsWith('.') ? specifier.slice(1) : undefined),
  });

test('blocks reached by export lists, stars, namespaces and defaults are the same block', () => {
  const files = {
    '/n.ts':
      door +
      'const n = block`n(x: [t, d]; k: int) -> [t, d] { return x }`;\nexport { n as norm };\nexport default n;',
    '/all.ts': "export * from './n.ts';\nexport * as space from './n.ts';",
    '/use.ts': `${door}import { norm as a } from './all.ts';\nimport * as b from './all.ts';\nimport c from './n.ts';
      export const u = block\`u(x: [t, d]) -> [t, d] { return \${a}(\${b.norm}(\${c}(x, q = 1), q = 1), q = 1) }\`;`,
  };
  const found = inMemory(files)
    .check('/use.ts')
    .diagnostics.map((d) => d.code);
  expect(found).toEqual([
    'name/unknown-argument',
    'name/unknown-argument',
    'name/unknown-argument',
  ]);
});

test('a parameter of a function hides the block of the same name', () => {
  const text = `${door}const n = block\`n(x: [t, d]) -> [t, d] { return x }\`;
    const make = (n: Template) => block\`u(x: [t, d]) -> [t, d] { return \${n}(x, q = 1) }\`;
    function other(n) { return block\`u(x: [t, d]) -> [t, d] { return \${n}(x, q = 1) }\`; }`;
  expect(inMemory({ '/a.ts': text }).check('/a.ts').diagnostics).toEqual([]);
});

test('blocks that use each other in a circle are a mistake and no loop', () => {
  const text = `${door}const a = block\`a(x: [t, d]) -> [t, d] { return \${b}(x) }\`;
    const b = block\`b(x: [t, d]) -> [t, d] { return \${a}(x) }\`;`;
  const found = inMemory({ '/a.ts': text })
    .check('/a.ts')
    .diagnostics.map((d) => d.code);
  expect(new Set(found)).toEqual(new Set(['block/cycle']));
});

test('a renamed name of a function leaves the same name outside of it', () => {
  const text = `${door}const a = block\`a(x: [t, d], i: [t, d]) -> [t, d] {
    return attend(x, x, x, mask = |i, j| j <= i) + i
  }\`;`;
  const edits = renameAt(
    inMemory({ '/a.ts': text }),
    '/a.ts',
    text.indexOf('|i, j') + 1,
    'row',
    [],
  );
  expect('problem' in edits ? edits : edits.map((e) => text.slice(e.start - 1, e.end + 1))).toEqual(
    ['|i,', ' i)'],
  );
});

test('in a sheet the parts of the models are offered', () => {
  const text = `${door}import { place, precision } from 'cograph';
    const m = net\`m(ids: i32 [t]) -> [t, 8] { weight embed: [8, 4] return embed[ids] @ embed.T }\`;
    const p = precision\` { }\`;`;
  const found = completionsAt(inMemory({ '/a.ts': text }), '/a.ts', text.indexOf('` { }') + 1);
  expect(found.map((c) => c.label)).toContain('embed');
  const inside = (kind: string, rule: string): readonly string[] => {
    const sheet = text.replace('precision` { }', `${kind}\` ${rule.replace('|', '')} }\``);
    const at = sheet.indexOf(`${kind}\` `) + kind.length + 2 + rule.indexOf('|');
    return completionsAt(inMemory({ '/a.ts': sheet }), '/a.ts', at).map((c) => c.label);
  };
  expect(inside('precision', 'embed { |')).toEqual(['weights', 'activations', 'kv']);
  expect(inside('precision', 'embed { kv: |')).toEqual(['f32', 'f16', 'bf16']);
  expect(inside('place', 'group gpu = x embed { on: |')).toEqual(['gpu', 'auto']);
  const kinds = text.replace('` { }', '`: { }');
  const offered = completionsAt(inMemory({ '/a.ts': kinds }), '/a.ts', kinds.indexOf('`: { }') + 2);
  expect(offered.map((c) => c.label)).toEqual(expect.arrayContaining(['attention', 'linear']));
});

test('a property of a sheet tells what it takes, and is checked before anything is bound', () => {
  const sheet = (rule: string): string =>
    `import { precision } from 'cograph';\nexport const p = precision\`lm_head { ${rule} }\`;`;
  const right = sheet('weights: bf16; kv: ${made()}');
  const hover = hoverAt(inMemory({ '/a.ts': right }), '/a.ts', right.indexOf('weights') + 2);
  expect(hover?.markdown).toContain('weights: f32, f16, bf16 or a scheme in a hole');
  expect(right.slice(hover?.place.start, hover?.place.end)).toBe('weights');
  const codes = (text: string) =>
    inMemory({ '/a.ts': text })
      .check('/a.ts')
      .diagnostics.map((d) => d.code);
  expect(codes(right)).toEqual([]);
  expect(codes(sheet('wieghts: bf16'))).toEqual(['sheet/property']);
  expect(codes(sheet('wieghts: ${made()}'))).toEqual(['sheet/property']);
  expect(codes(sheet('weights: q5'))).toEqual(['sheet/value']);
});
