/** Programs with a token deleted, doubled or exchanged: a diagnostic near it, or a sound model. */
import { expect, test } from 'vitest';
import { type Diagnostic, makeLog } from '../compiler/base/diagnostic.ts';
import { DiagnosticsError } from '../compiler/base/failure.ts';
import { renderAll } from '../compiler/base/render.ts';
import { placeOf } from '../compiler/base/source.ts';
import type { Template } from '../compiler/1-syntax/template.ts';
import { checkBlock } from '../compiler/2-model/check.ts';
import { compileGraph } from '../compiler/compile.ts';
import { bind } from '../compiler/index.ts';
import { mutate } from './helpers/mutations.ts';
import { makeRandom } from './helpers/random.ts';
import { allTemplates, numbered, withText } from './helpers/templates.ts';

const count = Number(process.env['MUTANTS'] ?? 200);
const firstSeed = Number(process.env['SEED'] ?? 1);

/** Mistakes of a text checked alone, and compiled where it is a `whole` model; warnings are none. */
function mistakesOf(template: Template, whole: boolean): readonly Diagnostic[] {
  const log = makeLog();
  checkBlock(template, log);
  const found = log.diagnostics().filter((d) => d.severity === undefined);
  if (!whole || found.length > 0) return found;
  try {
    compileGraph(bind(template), undefined); // verifies the graph
    return [];
  } catch (e) {
    if (e instanceof DiagnosticsError) return e.diagnostics;
    throw e;
  }
}

const lineOf = (text: string, offset: number): number => text.slice(0, offset).split('\n').length;

test(`${count} mutants are borne, and 9 of 10 diagnostics stand within two lines`, async () => {
  const templates = await allTemplates();
  expect(templates.length).toBeGreaterThan(15);
  const wholes = new Set(
    templates.filter((t) => t.kind === 'model' && mistakesOf(t, true).length === 0),
  );
  expect(templates.flatMap((t) => mistakesOf(t, false))).toEqual([]);
  let diagnosed = 0;
  let near = 0;
  const far: string[] = [];
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    const random = makeRandom(seed);
    const template = random.pick(templates);
    const mutant = mutate(numbered(template), random);
    const found = mistakesOf(withText(template, mutant.text), wholes.has(template));
    const [first] = found;
    const span = first?.labels[0]?.span;
    if (!first || !span) continue;
    diagnosed++;
    const line = placeOf(span.source, span.start).line;
    const own = span.source.file === 'model.ts';
    const distance = own ? Math.abs(line - lineOf(mutant.text, mutant.at)) : Infinity;
    if (distance <= 2) near++;
    else far.push(`seed ${seed}, ${mutant.what}, ${distance} lines off\n${mutant.text}\n${renderAll(found)}`); // prettier-ignore
  }
  const share = (100 * near) / diagnosed;
  console.log(`${diagnosed} of ${count} mutants have a diagnostic, ${share.toFixed(1)} % within two lines`); // prettier-ignore
  if (process.env['SHOW']) console.log(far.join('\n'));
  expect(diagnosed).toBeGreaterThan(count / 2);
  expect(share, far.join('\n')).toBeGreaterThanOrEqual(90);
}, 120_000);
