import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { typesFileOf } from '../../editor/types/declare.ts';
import { generateTypes } from '../../editor/types/check.ts';
import { Failure } from '../../base/failure.ts';
import { UsageError } from '../errors.ts';
import { writeText } from '../write-text.ts';
import type { Context } from './context.ts';

interface TypesFlags {
  readonly check?: boolean;
}

interface Row {
  readonly file: string;
  readonly types: string;
  /** `stale` with `--check`, else written. */
  readonly state: 'fresh' | 'written' | 'stale';
}

/** `cograph types`: interfaces of the parameters of each template, in a file beside its own. */
export async function typesCommand(
  files: readonly string[],
  flags: TypesFlags,
  { console, json }: Context,
): Promise<unknown> {
  const rows: Row[] = [];
  for (const file of files) {
    const row = await typesOf(resolve(file), flags.check === true);
    if (row) rows.push(row);
    else console.note(`${file}: no template with parameters`);
  }
  if (!json) rows.forEach((r) => console.out(`${r.state}  ${r.types}\n`));
  const stale = rows.filter((r) => r.state === 'stale').map((r) => r.types);
  if (stale.length > 0) {
    throw new Failure(
      'types/stale',
      `${stale.join(', ')}: not what the templates say; run cograph types ${files.join(' ')}`,
    );
  }
  return { files: rows };
}

async function typesOf(file: string, checkOnly: boolean): Promise<Row | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) throw new UsageError('usage/missing', `${file}: cannot be read`);
  if (!/\.[cm]?tsx?$/.test(file)) {
    throw new UsageError('usage/kind', `${file}: expected a TypeScript file`);
  }
  const types = typesFileOf(file);
  const wanted = generateTypes(file, text);
  if (wanted === undefined) return undefined;
  const had = await readFile(types, 'utf8').catch(() => undefined);
  if (had === wanted) return { file, types, state: 'fresh' };
  if (checkOnly) return { file, types, state: 'stale' };
  await writeText(types, wanted);
  return { file, types, state: 'written' };
}
