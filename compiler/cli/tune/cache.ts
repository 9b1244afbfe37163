/** What was measured on this machine, kept between compiles: one JSON file in the user's cache folder. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { cacheFolder } from '../bundle-cache.ts';
import type { Schedule } from '../../5-kernel/schedule.ts';

/** All that a measurement depends on. */
export interface TuneKey {
  /** The processor as the system names it. */
  readonly cpu: string;
  readonly target: string;
  /** The instruction set, or the engine that compiles wasm. */
  readonly isa: string;
  readonly threads: number;
  /** Version of the compiler. */
  readonly compiler: string;
  readonly shape: string;
  /** The schedule that candidates were held against. */
  readonly own: Schedule;
  /** Tokens of the larger step. */
  readonly chunk: number;
}

export interface Measured {
  readonly tokens: number;
  readonly schedule: Schedule;
  /** Median, of a pass over one copy of the shape's matrices. */
  readonly milliseconds: number;
}

export interface TuneEntry {
  readonly schedule: Schedule;
  readonly measured: readonly Measured[];
}

export interface TuneCache {
  readonly file: string;
  /** Why what was in the file is not used, if so. */
  readonly trouble?: string;
  get(key: TuneKey): TuneEntry | undefined;
  /** Keeps an entry, beside whatever others have written since. */
  put(key: TuneKey, entry: TuneEntry): Promise<void>;
}

const format = 'cograph-schedules';
const version = 1;

export const cacheFile = (): string => join(cacheFolder(), 'schedules.json');

export const cpuName = (): string => cpus()[0]?.model.trim() ?? 'unknown';

const textOf = (k: TuneKey): string =>
  [
    `cograph ${k.compiler}`,
    k.cpu,
    `${k.target} ${k.isa}`,
    `${k.threads} threads`,
    `1 and ${k.chunk} tokens`,
    JSON.stringify(k.own),
    k.shape,
  ].join(' | ');

/** A file that cannot be read counts as empty, and is written anew. */
export async function openCache(file: string): Promise<TuneCache> {
  const read = await readEntries(file);
  const entries = new Map(read.entries);
  return {
    file,
    ...(read.trouble === undefined ? {} : { trouble: read.trouble }),
    get: (key) => entries.get(textOf(key)),
    async put(key, entry) {
      const now = await readEntries(file);
      for (const [k, e] of now.entries) if (!entries.has(k)) entries.set(k, e);
      entries.set(textOf(key), entry);
      const text = JSON.stringify(
        { format, version, entries: Object.fromEntries(entries) },
        null,
        1,
      );
      await mkdir(dirname(file), { recursive: true });
      const partial = `${file}.${process.pid}`;
      try {
        await writeFile(partial, `${text}\n`);
        await rename(partial, file);
      } catch (e) {
        await rm(partial, { force: true });
        throw e;
      }
    },
  };
}

interface Read {
  readonly entries: readonly (readonly [string, TuneEntry])[];
  readonly trouble?: string;
}

async function readEntries(file: string): Promise<Read> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (e) {
    const missing = e instanceof Error && 'code' in e && e.code === 'ENOENT';
    return { entries: [], ...(missing ? {} : { trouble: `${file} cannot be read: ${String(e)}` }) };
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return {
      entries: [],
      trouble: `${file} is no JSON: what was measured before is measured again`,
    };
  }
  const entries = isRecord(value) ? value['entries'] : undefined;
  const known = isRecord(value) && value['format'] === format && value['version'] === version;
  if (!known || !isRecord(entries)) {
    return { entries: [], trouble: `${file} is not as this version writes it: it is written anew` };
  }
  const good = Object.entries(entries).flatMap(([k, e]) => {
    const entry = readEntry(e);
    return entry ? [[k, entry] as const] : [];
  });
  const lost = Object.keys(entries).length - good.length;
  return { entries: good, ...(lost > 0 ? { trouble: `${file}: ${lost} entries are damaged and measured again` } : {}) }; // prettier-ignore
}

const isRecord = (v: unknown): v is Readonly<Record<string, unknown>> =>
  typeof v === 'object' && v !== null && !Array.isArray(v);

function readEntry(v: unknown): TuneEntry | undefined {
  if (!isRecord(v) || !Array.isArray(v['measured'])) return undefined;
  const schedule = readSchedule(v['schedule']);
  const measured = v['measured'].flatMap((m: unknown): Measured[] => {
    if (!isRecord(m)) return [];
    const own = readSchedule(m['schedule']);
    const { tokens, milliseconds } = m;
    if (!own || typeof tokens !== 'number' || typeof milliseconds !== 'number') return [];
    return [{ tokens, schedule: own, milliseconds }];
  });
  if (!schedule || measured.length !== v['measured'].length) return undefined;
  return { schedule, measured };
}

/** A schedule that kernels can be made for; undefined for anything else. */
function readSchedule(v: unknown): Schedule | undefined {
  if (!isRecord(v)) return undefined;
  const together = ([1, 2, 4, 8, 16] as const).find((n) => n === v['together']);
  const streams = ([1, 2, 4] as const).find((n) => n === v['streams']);
  const { ahead, staged } = v;
  if (!together || !streams || typeof ahead !== 'number' || typeof staged !== 'number') {
    return undefined;
  }
  const whole = Number.isInteger(ahead) && ahead % 4 === 0 && ahead >= 0 && ahead <= 2 ** 20;
  const stages = Number.isInteger(staged) && staged >= together && staged <= 4096;
  return whole && stages && staged % together === 0
    ? { together, ahead, streams, staged }
    : undefined;
}
