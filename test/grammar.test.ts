/** Colours of templates: the extension's grammar, injected into one that knows strings and comments. */
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import oniguruma from 'vscode-oniguruma';
import textmate, { type IGrammar } from 'vscode-textmate';
import { beforeAll, expect, test } from 'vitest';
import { readTemplates } from '../compiler/editor/templates.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const extension = join(root, 'editors/vscode');
const manifest = JSON.parse(readFileSync(join(extension, 'package.json'), 'utf8')) as {
  contributes: { grammars: { scopeName: string; path: string; injectTo: string[] }[] };
};

/** Enough of TypeScript to see where the injection begins and ends, and what a hole embeds. */
const host = JSON.stringify({
  scopeName: 'source.ts',
  patterns: [
    { name: 'comment.line.ts', match: '//.*$' },
    { name: 'comment.block.ts', begin: '/\\*', end: '\\*/' },
    { name: 'string.quoted.ts', begin: "'", end: "'|$" },
    { name: 'string.template.ts', begin: '`', end: '`' },
    { name: 'keyword.ts', match: '\\b(?:const|import|from|export)\\b' },
    { name: 'constant.numeric.ts', match: '\\b\\d+\\b' },
    { begin: '\\{', end: '\\}', patterns: [{ include: '$self' }] },
    { name: 'variable.ts', match: '\\b[A-Za-z_]\\w*' },
  ],
});

let grammar: IGrammar;
beforeAll(async () => {
  const wasm = createRequire(import.meta.url).resolve('vscode-oniguruma/release/onig.wasm');
  await oniguruma.loadWASM(readFileSync(wasm));
  const own = manifest.contributes.grammars;
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: (scope) => {
      if (scope === 'source.ts') return Promise.resolve(textmate.parseRawGrammar(host, 'ts.json'));
      const path = own.find((g) => g.scopeName === scope)?.path;
      if (path === undefined) return Promise.resolve(null);
      const text = readFileSync(join(extension, path), 'utf8');
      return Promise.resolve(textmate.parseRawGrammar(text, path));
    },
    getInjections: (scope) => own.filter((g) => g.injectTo.includes(scope)).map((g) => g.scopeName),
  });
  const loaded = await registry.loadGrammar('source.ts');
  if (!loaded) throw new Error('the host grammar is missing');
  grammar = loaded;
});

interface Piece {
  readonly text: string;
  readonly start: number;
  readonly scopes: readonly string[];
}

function piecesOf(text: string): readonly Piece[] {
  let state = textmate.INITIAL;
  let offset = 0;
  return text.split('\n').flatMap((line) => {
    const { tokens, ruleStack } = grammar.tokenizeLine(line, state);
    state = ruleStack;
    const start = offset;
    offset += line.length + 1;
    return tokens.map((t) => ({
      text: line.slice(t.startIndex, t.endIndex),
      start: start + t.startIndex,
      scopes: t.scopes,
    }));
  });
}

/** The innermost scope of the first piece that is `text`, behind `after`. */
function scopeOf(text: string, piece: string, after = ''): string | undefined {
  const from = text.indexOf(after) + after.length;
  return piecesOf(text)
    .find((p) => p.start >= from && p.text.trim() === piece)
    ?.scopes.at(-1);
}

const program = `import { block } from 'cograph';
const norm = block<{ readonly eps?: number }>\`
  // of the mean square
  norm(x: f32 [t, n]; eps: real = 1e-6) -> [t, n] {
    weight gain: [n] from "g"
    use part = \${inner}(size = \${2}, scale = eps)
    repeat layers[i: 4] { x = part(x) }
    return x * rsqrt(mean(x * x) + eps) * gain.T
  }
\`;
const after = 3;
`;

test('words, names, numbers, texts and comments of a block have their colours', () => {
  const scope = (piece: string, after = ''): string | undefined => scopeOf(program, piece, after);
  expect(scope('block', 'norm =')).toBe('entity.name.function.tagged-template.cograph');
  expect(scope('eps', '<')).toBe('variable.object.property.cograph');
  expect(scope('of the mean square')).toBe('comment.line.double-slash.cograph');
  expect(scope('norm', 'square')).toBe('entity.name.function.cograph');
  expect(scope('f32')).toBe('support.type.cograph');
  expect(scope('eps', '; ')).toBe('variable.parameter.cograph');
  expect(scope('real')).toBe('support.type.cograph');
  expect(scope('1e-6')).toBe('constant.numeric.cograph');
  expect(scope('weight')).toBe('storage.type.cograph');
  expect(scope('"g"')).toBe('string.quoted.cograph');
  expect(scope('part')).toBe('entity.name.variable.part.cograph');
  expect(scope('size')).toBe('variable.parameter.cograph');
  expect(scope('layers')).toBe('entity.name.variable.part.cograph');
  expect(scope('return')).toBe('keyword.control.cograph');
  expect(scope('rsqrt')).toBe('entity.name.function.cograph');
});

test('a hole is TypeScript, and so is what follows the template', () => {
  const pieces = piecesOf(program);
  const hole = pieces.find((p) => p.text === 'inner');
  expect(hole?.scopes).toContain('meta.embedded.line.ts');
  expect(hole?.scopes.at(-1)).toBe('variable.ts');
  const next = pieces.find((p) => p.text === 'after');
  expect(next?.scopes).toEqual(['source.ts', 'variable.ts']);
});

test('selectors and properties of sheets have their colours', () => {
  const sheet = `const p = precision\`
  group early = [0..3]
  layers[::4].*:linear, **.gate[rows >= 4096] { weights: \${q8}; }
\`;`;
  const scope = (piece: string): string | undefined => scopeOf(sheet, piece, '`');
  expect(scope('group')).toBe('storage.type.cograph');
  expect(scope('early')).toBe('entity.name.variable.group.cograph');
  expect(scope('layers')).toBe('entity.name.tag.cograph');
  expect(scope('linear')).toBe('entity.other.attribute-name.pseudo-class.cograph');
  expect(scope('**')).toBe('entity.name.tag.wildcard.cograph');
  expect(scope('rows')).toBe('entity.other.attribute-name.cograph');
  expect(scope('weights')).toBe('support.type.property-name.cograph');
  expect(scope('q8')).toBe('variable.ts');
});

test.each([
  ['another tag', 'const a = html`weight`;'],
  ['a property', 'const a = b.model`weight`;'],
  ['a text', "const a = 'block`weight`';"],
  ['a comment', '// block`weight`'],
  ['a comparison', 'const a = block < 3; const b = `weight`;'],
])('%s is left to TypeScript', (_, text) => {
  expect(piecesOf(text).flatMap((p) => p.scopes.filter((s) => s.includes('cograph')))).toEqual([]);
});

test('what no template may hold is marked', () => {
  expect(scopeOf('const a = block`a(x: [t]) { return x # 2 }`;', '#')).toBe(
    'invalid.illegal.cograph',
  );
});

test('type arguments over several lines lead to their template', () => {
  const text =
    'const a = model<{\n  readonly width: number;\n}>`a(x: [t]) { weight w: [t] }`;\nlast';
  expect(scopeOf(text, 'weight')).toBe('storage.type.cograph');
  expect(scopeOf(text, 'last')).toBe('variable.ts');
});

const library = readdirSync(join(root, 'stdlib'), { recursive: true, encoding: 'utf8' })
  .filter((f) => f.endsWith('.ts'))
  .map((f) => join(root, 'stdlib', f));

test('every template of the library is coloured from end to end', () => {
  let found = 0;
  for (const file of library) {
    const text = readFileSync(file, 'utf8');
    const { templates } = readTemplates(file, text);
    if (templates.length === 0) continue;
    const pieces = piecesOf(text);
    for (const t of templates) {
      found++;
      const own = pieces.filter((p) => p.start >= t.raw.start && p.start < t.raw.end);
      expect(own.length).toBeGreaterThan(0);
      const wrong = own.filter(
        (p) =>
          !p.scopes.includes('meta.template.cograph') ||
          p.scopes.some((s) => s.startsWith('invalid')),
      );
      expect(wrong, file).toEqual([]);
      const end = pieces.find((p) => p.start === t.raw.end);
      expect(end?.scopes.at(-1)).toBe('punctuation.definition.string.template.end.cograph');
    }
  }
  expect(found).toBeGreaterThan(15);
});
