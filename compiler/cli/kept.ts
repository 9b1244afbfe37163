/** What tells the bundle of a GGUF file from all others that were compiled before. */
import { createHash } from 'node:crypto';
import { type BigIntStats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Origin } from './bundle-cache.ts';
import { buildOf } from './version.ts';

/** Raised where the same key would stand for another bundle. */
const keyVersion = 1;

/** Files beside a model's that its bundle takes texts from. */
const companions = ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'];

export interface Wanted extends Origin {
  readonly key: string;
}

/**
 * The key of the file's bundle for these options: the file and those beside it by path, size and time of the
 * last change, this compiler, and this machine. Undefined where there is no such file.
 */
export async function wantedBundle(
  path: string,
  options: Readonly<Record<string, string | undefined>>,
): Promise<Wanted | undefined> {
  const found = await statOf(path);
  if (!found) return undefined;
  const source = await realpath(path);
  const beside = companions.map((name) => join(dirname(path), name));
  const files = [found, ...(await Promise.all(beside.map(statOf)))].map(
    (s) => s && [String(s.size), String(s.mtimeNs)],
  );
  const machine = [process.platform, process.arch];
  const text = JSON.stringify([keyVersion, buildOf(), machine, source, files, options]);
  return {
    key: createHash('sha256').update(text).digest('hex').slice(0, 32),
    source,
    options: Object.entries(options)
      .flatMap(([name, value]) => (value === undefined ? [] : [`${name} ${value}`]))
      .join(', '),
  };
}

async function statOf(path: string): Promise<BigIntStats | undefined> {
  const s = await stat(path, { bigint: true }).catch(() => undefined);
  return s?.isFile() === true ? s : undefined;
}
