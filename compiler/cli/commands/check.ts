import { watch } from 'node:fs';
import { relative } from 'node:path';
import type { Diagnostic } from '../../base/diagnostic.ts';
import { Failure, asDiagnosticsError } from '../../base/failure.ts';
import { locate } from '../../base/locate.ts';
import { renderAll } from '../../base/render.ts';
import { type Span, placeOf } from '../../base/source.ts';
import { compileGraph } from '../../compile.ts';
import { type OpenFile, type Workspace, makeWorkspace } from '../../editor/workspace.ts';
import { UsageError } from '../errors.ts';
import { importModel } from '../subject.ts';
import { makeHost, scriptsNamed } from '../workspace-host.ts';
import type { Context } from './context.ts';

export interface CheckFlags {
  /** False with `--no-run`. */
  readonly run?: boolean;
  readonly watch?: boolean;
}

interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
}

interface Found extends Partial<Place> {
  readonly code: string;
  readonly severity: 'error' | 'warning';
  readonly text: string;
  readonly help?: string;
  readonly related: readonly (Place & { readonly text: string })[];
}

interface Report {
  readonly files: number;
  readonly templates: number;
  readonly mistakes: number;
  readonly warnings: number;
  readonly diagnostics: readonly Found[];
  /** Files that could not be run. */
  readonly failures: readonly Failed[];
}

interface Failed {
  readonly file: string;
  readonly code: string;
  readonly text: string;
}

/** `cograph check`: the mistakes of every template, without weights; exit 1 where there is one. */
export async function checkCommand(
  places: readonly string[],
  flags: CheckFlags,
  context: Context,
): Promise<unknown> {
  const paths = scriptsNamed(places);
  const workspace = makeWorkspace(makeHost());
  const report = await checkOnce(paths, workspace, flags, context);
  return flags.watch === true ? watchFiles(report, paths, context, workspace) : report;
}

async function checkOnce(
  paths: readonly string[],
  workspace: Workspace,
  flags: CheckFlags,
  { console, json }: Context,
): Promise<Report> {
  const files = paths.map((p) => workspace.file(p)).filter((f) => f !== undefined);
  const found: Diagnostic[] = [];
  const failures: Failed[] = [];
  for (const file of files) {
    const fixed = workspace.check(file.path).diagnostics;
    found.push(...fixed);
    const failed = fixed.some((d) => d.severity !== 'warning');
    // A model file is run for its own parameters once its texts have no mistake.
    if (!failed && flags.run !== false && workspace.exportsModel(file.path))
      found.push(...(await runFile(file, failures)));
  }
  const seen = new Set<string>();
  const diagnostics = found.filter((d) => {
    const key = JSON.stringify([d.code, d.text, d.labels[0] && rangeOf(d.labels[0].span)]);
    return !seen.has(key) && seen.add(key);
  });
  const warnings = diagnostics.filter((d) => d.severity === 'warning').length;
  const mistakes = diagnostics.length - warnings + failures.length;
  process.exitCode = mistakes > 0 ? 1 : 0;
  const templates = files.reduce((n, f) => n + f.templates.length, 0);
  if (!json) {
    if (diagnostics.length > 0) console.out(`${renderAll(diagnostics)}\n`);
    for (const f of failures) console.out(`error[${f.code}]: ${f.file}: ${f.text}\n`);
    const counts = `${count(files.length, 'file')}, ${count(templates, 'template')}`;
    console.out(`${counts}: ${count(mistakes, 'mistake')}, ${count(warnings, 'warning')}\n`);
  }
  return {
    files: files.length,
    templates,
    mistakes,
    warnings,
    diagnostics: diagnostics.map(asJson),
    failures,
  };
}

const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;

/** The mistakes and warnings that show with the parameters and sheets of the bound model. */
async function runFile(file: OpenFile, failures: Failed[]): Promise<readonly Diagnostic[]> {
  try {
    const { warnings } = compileGraph(await importModel(file.path), undefined);
    return warnings.map((d) => locate(d, textOf));
  } catch (e) {
    // What the text left open is no model after all.
    if (e instanceof UsageError && e.code === 'usage/export') return [];
    const mistakes = asDiagnosticsError(e);
    if (mistakes) return mistakes.diagnostics.map((d) => locate(d, textOf));
    if (!(e instanceof Error) || e.name === 'CompilerBug') throw e;
    const code = e instanceof Failure ? e.code : 'model/throws';
    failures.push({ file: relative(process.cwd(), file.path), code, text: e.message });
    return [];
  }

  function textOf(path: string): string | undefined {
    return path === file.path ? file.text : makeHost().read(path)?.text;
  }
}

function rangeOf({ source, start, end }: Span): Place {
  const [from, to] = [placeOf(source, start), placeOf(source, Math.max(end, start))];
  const file = relative(process.cwd(), source.file);
  return { file, ...from, endLine: to.line, endColumn: to.column };
}

function asJson(d: Diagnostic): Found {
  const [first, ...others] = d.labels;
  return {
    ...(first ? rangeOf(first.span) : {}),
    code: d.code,
    severity: d.severity ?? 'error',
    text: d.text,
    ...(d.help === undefined ? {} : { help: d.help }),
    related: others.map((l) => ({ ...rangeOf(l.span), text: l.text })),
  };
}

/** Checks again, statically, whenever one of the files changes; until Ctrl-C. The last report. */
async function watchFiles(
  first: Report,
  paths: readonly string[],
  context: Context,
  workspace: Workspace,
): Promise<Report> {
  let last = Promise.resolve(first);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const again = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      workspace.refresh();
      last = checkOnce(paths, workspace, { run: false }, context);
    }, 50);
  };
  const watchers = paths.map((p) => watch(p, again));
  await new Promise((done) => context.signal.addEventListener('abort', done, { once: true }));
  clearTimeout(timer);
  watchers.forEach((w) => w.close());
  return last;
}
