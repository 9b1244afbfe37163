import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { renderAll } from '../../base/render.ts';
import { type Formatted, formatFile } from '../../editor/format.ts';
import { UsageError } from '../errors.ts';
import { scriptsNamed } from '../workspace-host.ts';
import { writeText } from '../write-text.ts';
import type { Context } from './context.ts';

interface FmtFlags {
  readonly check?: boolean;
  readonly stdinFilepath?: string;
}

interface Row {
  readonly file: string;
  /** `different` with `--check`, else `written`. */
  readonly state: 'same' | 'written' | 'different';
  /** Templates whose layout changed. */
  readonly templates: number;
  readonly mistakes: readonly { readonly code: string; readonly text: string }[];
}

/** `cograph fmt`: templates laid out; exit 1 after mistakes, and with `--check` after differences. */
export async function fmtCommand(
  places: readonly string[],
  flags: FmtFlags,
  context: Context,
): Promise<unknown> {
  if (flags.stdinFilepath !== undefined) return formatInput(places, flags, context);
  if (places.length === 0) throw new UsageError('usage/missing', 'fmt: name files or folders');
  const rows: Row[] = [];
  for (const file of scriptsNamed(places)) {
    const had = await readFile(file, 'utf8').catch(() => undefined);
    if (had === undefined) throw new UsageError('usage/missing', `${file}: cannot be read`);
    const formatted = formatFile(file, had);
    const row = rowOf(file, had, formatted, flags);
    if (row.state === 'written') await writeText(file, formatted.text);
    tell(row, formatted, context);
    rows.push(row);
  }
  return { files: rows };
}

async function formatInput(
  places: readonly string[],
  flags: FmtFlags,
  context: Context,
): Promise<unknown> {
  if (places.length > 0) {
    throw new UsageError('usage/kind', '--stdin-filepath: expected no files beside it');
  }
  const file = resolve(flags.stdinFilepath ?? '');
  const had = await readText(process.stdin);
  const formatted = formatFile(file, had);
  const row = rowOf(file, had, formatted, flags);
  if (formatted.mistakes.length > 0) context.console.note(renderAll(formatted.mistakes));
  if (failed(row)) process.exitCode = 1;
  if (context.json) return { files: [row], text: formatted.text };
  if (flags.check !== true) context.console.out(formatted.text);
  return undefined;
}

function rowOf(
  file: string,
  had: string,
  { text, edits, mistakes }: Formatted,
  flags: FmtFlags,
): Row {
  const state = text === had ? 'same' : flags.check === true ? 'different' : 'written';
  const told = mistakes.map((m) => ({ code: m.code, text: m.text }));
  return { file, state, templates: edits.length, mistakes: told };
}

const failed = (row: Row): boolean => row.state === 'different' || row.mistakes.length > 0;

function tell(row: Row, { mistakes }: Formatted, { console, json }: Context): void {
  if (failed(row)) process.exitCode = 1;
  if (json) return;
  if (mistakes.length > 0) console.out(`${renderAll(mistakes)}\n`);
  if (row.state !== 'same') console.out(`${row.state}  ${row.file}\n`);
}
