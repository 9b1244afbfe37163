/**
 * Writes `spec/diagnostics.md` from the catalogue, the example modules in `spec/diagnostics` and
 * their golden renderings; with `--golden` it writes the renderings instead. A test holds all of it.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Diagnostic, makeLog } from '../compiler/base/diagnostic.ts';
import { DiagnosticsError } from '../compiler/base/failure.ts';
import { locate } from '../compiler/base/locate.ts';
import { type MessageCode, messages } from '../compiler/base/messages.ts';
import type { Message } from '../compiler/base/messages/message.ts';
import { renderAll } from '../compiler/base/render.ts';
import { checkBlock } from '../compiler/2-model/check.ts';
import { isTemplate } from '../compiler/1-syntax/template.ts';
import { compileGraph } from '../compiler/compile.ts';
import { type ImportedFile, checkTypeArguments } from '../compiler/editor/types/check.ts';
import { readTemplates } from '../compiler/editor/templates.ts';
import { type BoundModel, bind } from '../compiler/index.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = `${root}spec/diagnostics/`;
const isObject = (v: unknown): v is object => typeof v === 'object' && v !== null;
const isBound = (v: unknown): v is BoundModel =>
  isObject(v) && 'template' in v && isTemplate(v.template) && 'sheets' in v;

export type Side = 'wrong' | 'right';
export const codes = Object.keys(messages).sort() as MessageCode[]; // keys of the catalogue

const nameOf = (code: string): string => code.replace('/', '-');
export const exampleOf = (code: string, side: Side): string =>
  `${folder}${nameOf(code)}.${side}.ts`;
export const goldenOf = (code: string): string => `${folder}${nameOf(code)}.txt`;
export const hasExample = (code: string, side: Side): boolean => existsSync(exampleOf(code, side));
const textOf = (file: string): string => readFileSync(file, 'utf8');

/** What an example module's mistakes are: its templates are checked, or it throws them itself. */
export async function mistakesIn(file: string): Promise<readonly Diagnostic[]> {
  const log = makeLog();
  const text = textOf(file);
  checkTypeArguments(file, text, readTemplates(file, text), importedBy, log);
  try {
    const exports = (await import(file)) as Readonly<Record<string, unknown>>; // a module's own form
    return [...log.diagnostics(), ...mistakesOf(exports['default'], exports['tensors'])];
  } catch (e) {
    if (e instanceof DiagnosticsError) return e.diagnostics;
    throw e;
  }
}

function importedBy(from: string, specifier: string): ImportedFile | undefined {
  const file = fileURLToPath(new URL(specifier, `file://${from}`));
  return existsSync(file) ? { file, text: textOf(file) } : undefined;
}

function mistakesOf(subject: unknown, tensors: unknown): readonly Diagnostic[] {
  if (isTemplate(subject) && subject.kind === 'block') {
    const log = makeLog();
    checkBlock(subject, log);
    return log.diagnostics();
  }
  const bound = isTemplate(subject) ? bind(subject) : subject;
  if (!isBound(bound)) return [];
  return compileGraph(bound, isObject(tensors) ? headerOf(tensors) : undefined).warnings;
}

/** `{ name: ['F32', [8, 4]] }` as a checkpoint's header. */
function headerOf(tensors: object): Parameters<typeof compileGraph>[1] {
  const entries = Object.entries(tensors) as [string, [string, number[]]][]; // as examples write it
  const entry = ([name, [dtype, shape]]: (typeof entries)[number]) =>
    [name, { dtype, shape, file: '', offset: 0, bytes: 0 }] as const;
  return { tensors: new Map(entries.map(entry)) };
}

/** Mistakes as a user reads them, in files below the project's folder. */
export const renderingOf = (found: readonly Diagnostic[]): string =>
  renderAll(found.map((d) => locate(d, textOf))).replaceAll(root, '');

type AreaOf<C> = C extends `${infer A}/${string}` ? A : never;

/** Titles of the chapters: of every area that the catalogue has. */
const areas: Readonly<Record<AreaOf<MessageCode>, string>> & Readonly<Record<string, string>> = {
  syntax: 'Texts that do not follow the grammar',
  name: 'Names',
  call: 'Calls',
  type: 'Kinds of values',
  unused: 'What is not used',
  attention: 'Attention',
  value: 'Values known when a model is compiled',
  shape: 'Shapes',
  block: 'Blocks',
  model: 'Models',
  repeat: 'Repeats',
  weight: 'Weights',
  types: 'Types in TypeScript',
  select: 'Selectors',
  edit: 'Surgery',
  sheet: 'Sheets',
};

export function diagnosticsBook(): string {
  const lines = [
    '# Diagnostics',
    '',
    'Generated from the catalogue in `compiler/base/messages` and the examples in `spec/diagnostics` by `npm run docs`.',
    `There are ${codes.length} codes; each is shown with a text that has the mistake, what is said about it, and the text without.`,
    '',
  ];
  let area = '';
  for (const code of codes) {
    const [own = ''] = code.split('/');
    if (own !== area) lines.push(`## ${areas[own] ?? own}`, '');
    area = own;
    const message: Message<never> = messages[code];
    lines.push(`### ${code}`, '');
    if (message.severity === 'warning') lines.push('A warning: the model is compiled all the same.', ''); // prettier-ignore
    lines.push('```ts', textOf(exampleOf(code, 'wrong')).trimEnd(), '```', '');
    lines.push('```text', textOf(goldenOf(code)).trimEnd(), '```', '');
    lines.push('```ts', textOf(exampleOf(code, 'right')).trimEnd(), '```', '');
  }
  return lines.join('\n');
}

async function writeGoldens(): Promise<void> {
  for (const code of codes) {
    if (!hasExample(code, 'wrong')) {
      console.error(`${code} has no example`);
      continue;
    }
    writeFileSync(goldenOf(code), renderingOf(await mistakesIn(exampleOf(code, 'wrong'))));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--golden')) await writeGoldens();
  else writeFileSync(`${root}spec/diagnostics.md`, diagnosticsBook());
}
