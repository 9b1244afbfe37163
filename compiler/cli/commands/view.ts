import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, dirname, extname, isAbsolute, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DType } from '../../base/type.ts';
import type { Setting } from '../../2-model/sheets.ts';
import { readSheets } from '../../compile.ts';
import { pageOf } from '../../view/page.ts';
import { viewModel } from '../../view/scopes.ts';
import { sizeText } from '../console.ts';
import { UsageError } from '../errors.ts';
import { nodeFiles } from '../node-files.ts';
import { importSheets, openReadable } from '../subject.ts';
import { tellWarnings } from '../warnings.ts';
import type { Context } from './context.ts';
import { placeOfRule } from './inspect-sheets.ts';

export interface ViewFlags {
  readonly out?: string;
  readonly context: number;
  readonly checkpoint?: string;
  readonly sheet?: readonly string[];
}

/** `cograph view`: the page, written as a whole or not at all; with `--json` also its data. */
export async function viewCommand(
  place: string,
  flags: ViewFlags,
  { console }: Context,
): Promise<unknown> {
  if (flags.context < 1) {
    throw new UsageError('usage/context', `--context is at least 1, not ${flags.context}`);
  }
  const { bound, checkpoint } = await openReadable(place, flags);
  const more = await Promise.all((flags.sheet ?? []).map((file) => importSheets(file)));
  const { model, sheets, weights, kept, warnings } = readSheets(bound, more.flat(), checkpoint);
  const dtypeOf = (path: string): DType => weights?.weights.get(path)?.dtype ?? 'f32';
  const data = viewModel(model, {
    context: flags.context,
    ...(weights ? { dtypeOf } : {}),
    schemeOf: (path) => kept.get(path),
    ...(sheets.length > 0 ? { sheets: { resolved: sheets, ruleOf } } : {}),
  });
  const out = resolve(flags.out ?? (await beside(place)));
  if (await isFolder(out)) {
    throw new UsageError('usage/out', `--out is a file to write, and ${out} is a folder`);
  }
  const page = new TextEncoder().encode(pageOf(data));
  const partial = join(dirname(out), `.${basename(out)}-${randomUUID()}`);
  try {
    await nodeFiles.write(partial, page);
    await nodeFiles.replace(partial, out);
  } catch (e) {
    const why = e instanceof Error ? e.message : String(e);
    throw new UsageError('usage/out', `${out} cannot be written: ${why}`);
  } finally {
    await nodeFiles.remove(partial);
  }
  console.note(
    `wrote ${out} (${sizeText(page.length)}): open ${pathToFileURL(out).href} in a browser`,
  );
  return { out, ...data, warnings: tellWarnings(warnings, console) };
}

function ruleOf(setting: Setting): string {
  const { rule, file, line } = placeOfRule(setting);
  const place = isAbsolute(file) ? relative(process.cwd(), file) : file;
  return `${rule} (${place}:${line})`;
}

/** `model.ts` gives `model.html` beside it, a folder `model.html` inside. */
async function beside(place: string): Promise<string> {
  const path = resolve(place);
  if (await isFolder(path)) return join(path, 'model.html');
  return join(dirname(path), `${basename(path, extname(path))}.html`);
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (s) => s.isDirectory(),
    () => false,
  );
