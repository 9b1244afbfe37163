/** Inputs for robustness: each is a function of its seed, and whatever it is must be borne. */
import { renderAll } from '../../compiler/base/render.ts';
import { makeLog } from '../../compiler/base/diagnostic.ts';
import { DiagnosticsError } from '../../compiler/base/failure.ts';
import { parse, parseSheet } from '../../compiler/1-syntax/parse.ts';
import {
  type Hole,
  type SheetSource,
  type Template,
  holeMark,
  sheetKinds,
} from '../../compiler/1-syntax/template.ts';
import { checkBlock } from '../../compiler/2-model/check.ts';
import { compileGraph } from '../../compiler/compile.ts';
import { bind } from '../../compiler/index.ts';
import * as stdlib from '../../stdlib/index.ts';
import { isTemplate } from '../../compiler/1-syntax/template.ts';
import { mutate } from './mutations.ts';
import { randomText } from './programs.ts';
import { type Random, makeRandom } from './random.ts';
import { templateOf } from './template.ts';
import { randomBlock, randomModel } from './typed-programs.ts';

export interface Input {
  readonly template: Template;
  readonly sheet?: SheetSource;
}

export interface Outcome {
  readonly milliseconds: number;
  /** The text had a tree, which the checker saw. */
  readonly checked: boolean;
  readonly mistakes: number;
}

const foreign = [
  '0', '1', '-1', '1e999', '9007199254740993', '65536', 'x', 't', 'n', 'ids', '__proto__', 'constructor',
  'toString', 'true', '"text"', '[]', '[1, 2]', 'iota(1000000)', 'repeat', 'if', 'weight', 'return',
  '(', ')', '{', '}', '[', ']', ',', ';', ':', '=', '..', '->', '|', '@', '^', '%', '.T', 'as [t]', holeMark,
  'positions', 'attend', 'top_k', 'x x', 'len', 'not', '$', '\ud800', 'é', '🙂', '\0', '"', "'", '/*', '//',
]; // prettier-ignore

const library = Object.values<unknown>(stdlib).filter(isTemplate);
const holeValues: readonly unknown[] = [
  0, -1, 2.5, Number.NaN, Infinity, 1e308, true, '', 'text', [], [1, 2, 3], [[1], ['a']], null,
  undefined, {}, () => 1, { kind: 'block' }, { kind: 'block', source: 1, holes: 2 }, Symbol.iterator,
]; // prettier-ignore

/** Some holes of the kinds that JavaScript lets through. */
const holesOf = (random: Random, count: number): readonly Hole[] =>
  Array.from(
    { length: count },
    () => (random.oneIn(3) ? random.pick(library) : random.pick(holeValues)) as Hole, // cast: as JavaScript may
  );

export function inputOf(seed: number): Input {
  const random = makeRandom(seed);
  const kind = random.below(20);
  if (kind < 8) return mutantOf(randomModel(random).template, random, random.below(4));
  if (kind < 10) return mutantOf(randomBlock(random, 'f'), random, random.below(4));
  if (kind < 12) return mutantOf(random.pick(library), random, 1 + random.below(3));
  if (kind < 15) {
    const text = randomText(random, random.oneIn(2) ? 'odd' : 'canonical');
    return mutantOf(templateOf(text, holesOf(random, 20)), random, random.below(2));
  }
  if (kind < 17) return { template: randomModel(random).template, sheet: randomSheet(random) };
  if (kind < 18) return { template: templateOf(soup(random), holesOf(random, 9)) };
  if (kind < 19) return { template: templateOf(noise(random)) };
  return { template: templateOf(extreme(random), [], random.oneIn(2) ? 'model' : 'block') };
}

function mutantOf(of: Template, random: Random, times: number): Input {
  let { text } = of.source;
  for (let i = 0; i < times; i++) text = mutate(text, random, foreign).text;
  const more = random.oneIn(10) ? holesOf(random, 3) : [];
  return { template: { ...of, source: { ...of.source, text }, holes: [...of.holes, ...more] } };
}

/** Tokens in any order, in something like a template or not. */
function soup(random: Random): string {
  const words = random.list(1, 60, () => random.pick(foreign)).join(random.oneIn(3) ? '\n' : ' ');
  return random.oneIn(2) ? `f(x: [t, n]) -> [t, n] {\n${words}\nreturn x }` : words;
}

const noise = (random: Random): string =>
  random
    .list(0, 200, () => String.fromCharCode(random.below(random.oneIn(4) ? 65536 : 128)))
    .join('');

/** Few tokens that ask for much. */
function extreme(random: Random): string {
  const n = random.pick([10, 300, 5000, 60_000]);
  const many = (piece: string): string => piece.repeat(n);
  const big = random.pick(['1e308', '9007199254740991', '4294967296', '65536', '1e9', '0', '-1']);
  const body = random.pick([
    `return ${many('(')}x${many(')')}`,
    `return x${many(' + x')}`,
    `return ${many('-(')}x${many(')')}`,
    `return x${many('.T')}`,
    `return x${many('[0]')}`,
    `return ${many('[')}${many(']')}`,
    `y = ${many('if true then 1 else ')}1\n return x`,
    `y = 2${many(' ^ 2')}\n return x`,
    `${many('if true {')}${many('}')}\nreturn x`,
    `${many('repeat a[b: 1] {')}${many('}')}\nreturn x`,
    `${many('y = x + x\n')}return y`,
    `y = iota(${big})\nreturn x * len(y)`,
    `y = iota(1000000) * iota(1000000) + iota(1000000)\nreturn x * len(y)`,
    `repeat layers[l: ${big}] { x = x + x }\nreturn x`,
    `repeat layers[l: 60000] { weight w: [l + 1, 4], v: [4, l + 1]\n x = x + x * l\n y = x * l }\nreturn x`,
    `repeat a[i: 300] { repeat b[j: 300] { x = x + i * j } }\nreturn x`,
    `repeat a[i: 40] { repeat b[j: 40] { repeat c[k: 40] { x = x + i * j } } }\nreturn x`,
    `weight w: [${big}, ${big}]\nreturn x @ w`,
    `return x as [t, ${big}, ${big}]`,
    `f = |i| |j| |k| i\nreturn x * f`,
    `y0 = [x, x]\n${Array.from({ length: 40 }, (_, i) => `y${i + 1} = [y${i}, y${i}]`).join('\n')}\nreturn x`,
    `y0 = [1, 2]\n${Array.from({ length: 40 }, (_, i) => `y${i + 1} = [y${i}, y${i}]`).join('\n')}\nreturn x * len(y40 + y40)`,
    `a0 = 1\n${Array.from({ length: 60 }, (_, i) => `a${i + 1} = a${i} * a${i} + n`).join('\n')}\nreturn x * a60`,
    `y = x\n${Array.from({ length: 60 }, () => 'y = y * y + y').join('\n')}\nreturn y`,
    `return concat(${many('concat(')}x${many(', x)')}, x)`,
    `return slice(x, ${big}, ${big})`,
    `values, ids = top_k(x, ${big})\nreturn values`,
    `y = ${big} ${random.pick(['+', '-', '*', '/', '%', '^'])} ${big}\nreturn x * y`,
    `y = "${many('a')}"\nreturn x`,
    `// ${many('a')}\nreturn x`,
    `a, ${many('a, ')}a = x\nreturn x`,
    `return ${many('x, ')}x`,
    `weight ${many('a.')}a: [n]\nreturn x`,
    `return f(${many('x, ')}x)`,
  ]);
  const head = random.pick(['f(x: [t, n]) -> [t, n]', 'f(x: [t, 4])', 'm(x: i32 [t]) -> [t, 4]']);
  return `${head} {\n${body}\n}`;
}

const segments = ['layers', 'layers[0..2]', 'layers[::2]', '*', '**', ':linear', ':attention', 'embed', 'x[heads > 2]', '__proto__']; // prettier-ignore
const properties = ['weights', 'activations', 'kv', 'on', 'policy', 'constructor', 'weigths'];

function randomSheet(random: Random): SheetSource {
  const selector = (): string => random.list(1, 3, () => random.pick(segments)).join('.');
  const setting = (): string => `${random.pick(properties)}: ${random.pick(foreign)}`;
  const rule = (): string => `${selector()} { ${random.list(0, 3, setting).join(random.pick(['\n', ', ', '; ']))} }`; // prettier-ignore
  let text = random.list(0, 4, rule).join('\n');
  const times = random.below(3);
  for (let i = 0; i < times && text !== ''; i++) text = mutate(text, random, foreign).text;
  const source = { file: 'sheet.ts', line: 1, column: 1, text };
  return { kind: random.pick(sheetKinds), source, holes: holesOf(random, 6) };
}

/** What a text goes through on its way to a verified graph. Throws what no input may cause. */
export function bear({ template, sheet }: Input): Outcome {
  const start = process.cpuUsage();
  const log = makeLog();
  const checked = parse(template, makeLog()) !== undefined;
  checkBlock(template, log);
  let text = renderAll(log.diagnostics());
  if (sheet) parseSheet(sheet, log);
  try {
    compileGraph(bind(template, sheet ? { sheets: [sheet] } : {}), undefined);
  } catch (e) {
    if (!(e instanceof DiagnosticsError)) throw e;
    text += e.message;
  }
  const mistakes = log.diagnostics().length;
  if (text.includes('undefined:')) throw new Error(`a rendering without a place: ${text}`);
  // Time of this process: other work on the machine is no hang.
  const { user, system } = process.cpuUsage(start);
  return { milliseconds: (user + system) / 1000, checked, mistakes };
}
