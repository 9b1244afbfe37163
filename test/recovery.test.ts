/** Independent mistakes are reported each, once, wherever they stand. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Diagnostic, makeLog } from '../compiler/base/diagnostic.ts';
import { parseSheet } from '../compiler/1-syntax/parse.ts';
import { checkBlock } from '../compiler/2-model/check.ts';
import { makeHost } from '../compiler/cli/workspace-host.ts';
import { makeWorkspace } from '../compiler/editor/workspace.ts';
import { bind, block, model, precision, type Template } from '../compiler/index.ts';
import { checkModel } from '../compiler/2-model/check.ts';
import { temporaryFolder } from './helpers/models.ts';

/** Code and text of the first label. */
const shown = (found: readonly Diagnostic[]): readonly string[] =>
  found.map((d) => {
    const span = d.labels[0]?.span;
    return `${d.code} ${span?.source.text.slice(span.start, span.end) ?? ''}`;
  });

function mistakesOf(template: Template): readonly string[] {
  const log = makeLog();
  checkBlock(template, log);
  return shown(log.diagnostics());
}

test('five mistakes in the templates of a file', () => {
  const file = join(temporaryFolder(), 'net.ts');
  writeFileSync(
    file,
    `import { block } from 'cograph';
export const a = block\`
  a(x: [t, n]) -> [t, n] {
    y = x + * x
    return z
  }
\`;
export const b = block\`
  b(x: [t, n]; eps: ) -> [t, n] {
    return x * rsqrt(eps) + nothing
  }
\`;
export const c = block\`
  c(x: [t, n]) -> [t, n] {
    return softmx(x)
  }
\`;
`,
  );
  expect(shown(makeWorkspace(makeHost()).check(file).diagnostics)).toEqual([
    'syntax/unexpected *',
    'name/unknown z',
    'syntax/unexpected )',
    'name/unknown nothing',
    'name/unknown-op softmx',
  ]);
});

test('behind a wrong first line, the body is checked with what can be read of it', () => {
  const wrong = block`
    f(x: [t, n], y: t n]; eps: real, k int) -> [t, n] {
      a = y + k + eps
      b = x @ x
      return missing
    }
  `;
  const found = mistakesOf(wrong);
  expect(found.map((f) => f.split(' ')[0])).toEqual([
    'syntax/unexpected',
    'syntax/unexpected',
    'shape/inner',
    'name/unknown',
  ]);
});

test('blocks with a wrong first line are no further mistake where they are called', () => {
  const part = block`
    part(x: [t n]) -> [t, n] {
      return x + nothing
    }
  `;
  const whole = model`
    whole(ids: i32 [t]) -> [t, 8] {
      weight embed: [8, 4]
      use p = ${part}(scale = 2)
      x = p(embed[ids]) + absent
      return x @ embed.T
    }
  `;
  const log = makeLog();
  checkModel(bind(whole), log);
  expect([...shown(log.diagnostics())].sort()).toEqual([
    'name/unknown absent',
    'name/unknown nothing',
    'syntax/unexpected n',
  ]);
});

test('mistakes in the groups and rules of a sheet', () => {
  const log = makeLog();
  const ast = parseSheet(
    precision`
      layers[3.. { weights: 4 }
      experts { weights 4 }
      attention { weights: 8; }
      head { weights: }
      embed[heads > ] { weights: 2 }
      ** { }
    `,
    log,
  );
  expect(log.diagnostics().map((d) => d.code)).toEqual(
    Array.from({ length: 4 }, () => 'syntax/unexpected'),
  );
  expect(ast.rules).toHaveLength(2);
});

test('a text, a comment and a number that are not whole take their statement with them alone', () => {
  const wrong = block`
    f(x: [t, n]) -> [t, n] {
      weight w: [n] from "scale
      a = x + 1e-
      b = a * w /* scaled
      c = 1. * b
      d = 1_000 * c + 'it
      return d + nothing
    }
  `;
  expect(mistakesOf(wrong)).toEqual([
    'syntax/unclosed-text "scale',
    'syntax/number 1e-',
    'syntax/unclosed-comment /*',
    'syntax/number 1.',
    'syntax/number 1_000',
    "syntax/unclosed-text 'it",
    'name/unknown nothing',
  ]);
});

test('numbers that are whole stay numbers', () => {
  const right = block`
    f(x: [t, n]) -> [t, n] {
      return 1.5e-3 * x + 10 * x - 0.25 * x + 1e5
    }
  `;
  expect(mistakesOf(right)).toEqual([]);
});

test('words of the language are no names, and = does not compare', () => {
  const wrong = block`
    f(x: [t, n]; from: int, k: int) -> [t, n] {
      then = x
      a, else = x
      weight repeat: [n]
      b = if k = 2 then x else absent
      if k = 3 { x = x + x }
      return x + nothing
    }
  `;
  expect(mistakesOf(wrong)).toEqual([
    'syntax/reserved from',
    'syntax/reserved then',
    'syntax/reserved else',
    'syntax/reserved repeat',
    'syntax/assignment =',
    'syntax/assignment =',
    'name/unknown nothing',
  ]);
});
