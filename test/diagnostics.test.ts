/** One mistake gives one message, at its line and column in the user's file. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { locate } from '../compiler/base/locate.ts';
import { renderAll } from '../compiler/base/render.ts';
import { placeOf } from '../compiler/base/source.ts';
import { makeLog } from '../compiler/base/diagnostic.ts';
import { bindWeights } from '../compiler/2-model/bind-weights.ts';
import { checkModel } from '../compiler/2-model/check.ts';
import {
  type BoundModel,
  type Diagnostic,
  DiagnosticsError,
  type Hole,
  type Template,
  bind,
  block,
  model,
} from '../compiler/index.ts';
import { compileProgram } from '../compiler/compile.ts';

const lines = readFileSync(fileURLToPath(import.meta.url), 'utf8').split('\n');

function mistakesOf(bound: BoundModel): readonly Diagnostic[] {
  try {
    compileProgram(bound, undefined);
  } catch (e) {
    if (e instanceof DiagnosticsError) {
      expect(e.message).toContain('test/diagnostics.test.ts:');
      return e.diagnostics;
    }
    throw e;
  }
  return [];
}

/** The text of this very file from where a diagnostic points to. */
function pointedAt(d: Diagnostic | undefined): string {
  const span = d?.labels[0]?.span;
  if (!span) return '';
  const { line, column } = placeOf(span.source, span.start);
  return (lines[line - 1] ?? '').slice(column - 1);
}

function expectOne(bound: BoundModel, code: string, at: string, text: RegExp): void {
  const found = mistakesOf(bound);
  expect(found.map((d) => d.code)).toEqual([code]);
  expect(found[0]?.text).toMatch(text);
  expect(pointedAt(found[0]).startsWith(at), pointedAt(found[0])).toBe(true);
}

const square = block`
  square(x: [t, n]; factor: real) -> [t, n] {
    weight w: [n, n]
    return factor * (x @ w.T)
  }
`;

test('a misspelt name, with the nearest one', () => {
  const m = model`
    m(ids: i32 [t]) -> [t, 8] {
      weight embed: [8, 4]
      hidden = embed[ids]
      return hiden @ embed.T
    }
  `;
  expectOne(bind(m), 'name/unknown', 'hiden', /unknown name hiden; did you mean hidden\?/);
});

test('two dimensions that differ, with both shapes', () => {
  const m = model`
    m(ids: i32 [t]) -> [t, 8] {
      weight embed: [8, 4], w: [6, 5]
      x = embed[ids]
      y = x @ w.T
      return y
    }
  `;
  const [only, ...others] = mistakesOf(bind(m));
  expect(others).toEqual([]);
  const labels = only?.labels.map((l) => l.text).join(' ');
  expect(labels).toMatch(/\[t, 4\]/);
  expect(labels).toMatch(/\[5, 6\]|\[6, 5\]/);
});

test('a missing argument', () => {
  const m = model`
    m(ids: i32 [t]) -> [t, 8] {
      weight embed: [8, 4]
      use s = ${square}()
      return s(embed[ids]) @ embed.T
    }
  `;
  const [only, ...others] = mistakesOf(bind(m));
  expect(others).toEqual([]);
  expect(only?.code).toBe('call/missing-argument');
  expect(only?.text).toContain('factor');
});

test('an unknown parameter, with the nearest one', () => {
  const m = model`
    m(ids: i32 [t]) -> [t, 8] {
      weight embed: [8, 4]
      use s = ${square}(facto = 2, factor = 1)
      return s(embed[ids]) @ embed.T
    }
  `;
  const [only, ...others] = mistakesOf(bind(m));
  expect(others).toEqual([]);
  expect(only?.text).toMatch(/no parameter facto; did you mean factor\?/);
});

test('a cycle of blocks', () => {
  const holes: Hole[] = [];
  const again = (strings: TemplateStringsArray): Template => ({
    ...block(strings),
    holes,
  });
  const a = again`
    a(x: [t, n]) -> [t, n] {
      return \uE000(x)
    }
  `;
  const cyclic: Template = {
    ...a,
    source: { ...a.source, text: a.source.text.replace('\\uE000', '\uE000') },
  };
  holes.push(cyclic);
  const m = model`
    m(ids: i32 [t]) -> [t, 8] {
      weight embed: [8, 4]
      return ${cyclic}(embed[ids]) @ embed.T
    }
  `;
  const [only, ...others] = mistakesOf(bind(m));
  expect(others).toEqual([]);
  expect(only?.code).toBe('block/cycle');
  expect(only?.text).toContain('a -> a');
});

const twoWeights = model`
  m(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 4], head: [8, 4]
    return embed[ids] @ head.T
  }
`;

test.each([
  ['lacks', [['embed', [8, 4]], ['heads', [8, 4]]], 'weight/missing', /no weight head.*heads/], // prettier-ignore
  ['has in another shape', [['embed', [8, 4]], ['head', [4, 8]]], 'weight/shape', /\[4, 8\].*\[8, 4\]/], // prettier-ignore
] as const)('a weight that the checkpoint %s', (_, tensors, code, text) => {
  const log = makeLog();
  const checked = checkModel({ template: twoWeights }, log);
  expect(log.diagnostics()).toEqual([]);
  if (!checked) throw new Error('no model');
  const stored = new Map(tensors.map(([n, shape]) => [n, { dtype: 'F32', shape }]));
  bindWeights(checked, stored, log);
  expect(log.diagnostics().map((d) => d.code)).toEqual([code]);
  expect(log.diagnostics()[0]?.text).toMatch(text);
  expect(pointedAt(log.diagnostics()[0]).startsWith('head')).toBe(true);
});

test('behind a hole, the column is that of the file', () => {
  const m = model`
    m(ids: i32 [t]) -> [t, 8] {
      weight embed: [8, 4]
      use s = ${square}(factor = ${
        // Of several lines, with a brace in a text: "}".
        ['}'].length
      }) use r = ${square}(factor = facto)
      return s(embed[ids]) @ embed.T
    }
  `;
  const [only, ...others] = mistakesOf(bind(m)).map((d) => locate(d, () => lines.join('\n')));
  expect(others).toEqual([]);
  expect(pointedAt(only)).toMatch(/^facto\)/);
  expect(only && renderAll([only])).toMatch(/ {2}\S*diagnostics\.test\.ts:\d+:\d+\n/);
  expect(only && renderAll([only])).toContain('use r = ${square}(factor = facto)');
});

test('independent mistakes are all reported', () => {
  const m = model`
    m(ids: i32 [t]) -> [t, 8] {
      weight embed: [8, 4]
      a = embde[ids]
      b = nothing
      return embed[ids] @ embed.T
    }
  `;
  expect(mistakesOf(bind(m)).map((d) => pointedAt(d).split(/\W/)[0])).toEqual(['embde', 'nothing']);
});

test('five independent mistakes, in syntax, names, shapes and a missing brace, are five', () => {
  const m = model`
    m(ids: i32 [t]) -> [t, 8] {
      weight embed: [8, 4], narrow: [8, 3]
      use s = ${square}(factor = )
      x = embed[ids
      y = embed[ids] @ narrow.T
      z = nothing
      repeat layers[l: 2] {
        w = s(x) + + y
      return embed[ids] @ embed.T
    }
  `;
  const found = mistakesOf(bind(m)).map((d) => locate(d, () => lines.join('\n')));
  expect(found.map((d) => [d.code, pointedAt(d).split(/\n/)[0]?.slice(0, 12)])).toEqual([
    ['syntax/unexpected', ')'],
    ['syntax/unexpected', 'y = embed[id'],
    ['shape/inner', 'embed[ids] @'],
    ['name/unknown', 'nothing'],
    ['syntax/unexpected', '+ y'],
    ['syntax/unclosed', 'y'],
  ]);
});

test('a syntax error names what was expected', () => {
  const m = model`
    m(ids: i32 [t]) -> [t, 8] {
      weight embed: [8, 4
      return embed[ids] @ embed.T
    }
  `;
  const found = mistakesOf(bind(m));
  expect(found.length).toBeGreaterThan(0);
  expect(found[0]?.code).toMatch(/^syntax\//);
});
