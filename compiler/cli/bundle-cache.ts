/**
 * Bundles that were compiled to be run at once, kept for the next time: a folder for each, named by what it
 * was made of. Several processes may use it: a bundle is written aside and moved into place, and is moved
 * away before it is removed.
 */
import { mkdir, readFile, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { UsageError } from './errors.ts';

/** What a bundle was made of, for people. */
export interface Origin {
  /** The file that it was made of. */
  readonly source: string;
  /** What it was compiled for. */
  readonly options: string;
}

export interface KeptBundle extends Origin {
  readonly key: string;
  readonly bytes: number;
  readonly used: Date;
}

export interface BundleCache {
  readonly folder: string;
  /** Most bytes that are kept; a single bundle may have more. */
  readonly limit: number;
  /** The folder of a bundle; asking counts as use. */
  find(key: string): Promise<string | undefined>;
  /**
   * Has `make` write a bundle and keeps it; its folder. Those that were not used for longest go where all
   * would take more than the limit. Nothing stays of what `make` fails at.
   */
  keep(key: string, origin: Origin, make: (folder: string) => Promise<void>): Promise<string>;
  remove(key: string): Promise<void>;
  /** Last used first. */
  list(): Promise<readonly KeptBundle[]>;
  /** Removes all, and what processes that died have left. */
  clear(): Promise<void>;
}

const GiB = 2 ** 30;
const plainLimit = 32 * GiB;
/** Written by a process that died, once it is as old as this. */
const staleMs = 24 * 3600 * 1000;

type Env = Readonly<Record<string, string | undefined>>;

/** Where programs of this user keep what can be made again. */
export function cacheFolder(env: Env = process.env, platform: string = process.platform): string {
  const xdg = env['XDG_CACHE_HOME'];
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, 'cograph');
  const local = env['LOCALAPPDATA'];
  if (platform === 'win32' && local !== undefined) return join(local, 'cograph', 'cache');
  const caches = platform === 'darwin' ? join('Library', 'Caches') : '.cache';
  return join(homedir(), caches, 'cograph');
}

/** Throws UsageError for a limit that is none. */
export function cacheLimit(env: Env = process.env): number {
  const text = env['COGRAPH_CACHE_GIB'];
  if (text === undefined || text === '') return plainLimit;
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value * GiB;
  throw new UsageError('usage/cache', `COGRAPH_CACHE_GIB is ${text}: expected a number of GiB`);
}

export function openBundleCache(
  folder = join(cacheFolder(), 'bundles'),
  limit = cacheLimit(),
): BundleCache {
  const isKey = (name: string): boolean => /^[0-9a-f]+$/.test(name);
  const noteOf = (key: string): string => join(folder, key, 'entry.json');
  const bundleOf = (key: string): string => join(folder, key, 'bundle');
  const aside = (key: string): string => join(folder, `${key}.aside-${randomUUID()}`);

  async function entryOf(key: string): Promise<KeptBundle | undefined> {
    try {
      const { mtime } = await stat(noteOf(key));
      const note: unknown = JSON.parse(await readFile(noteOf(key), 'utf8'));
      return isNote(note) ? { ...note, key, used: mtime } : undefined;
    } catch {
      return undefined;
    }
  }
  async function remove(key: string): Promise<void> {
    const gone = aside(key);
    // Whoever finds half of a bundle would take it for damaged.
    const moved = await rename(join(folder, key), gone).then(
      () => true,
      () => false,
    );
    if (moved) await rm(gone, { recursive: true, force: true });
  }
  const names = (): Promise<readonly string[]> => readdir(folder).catch(() => []);
  async function list(): Promise<readonly KeptBundle[]> {
    const found = await Promise.all((await names()).filter(isKey).map(entryOf));
    return found.filter((e) => e !== undefined).sort((a, b) => b.used.getTime() - a.used.getTime());
  }
  /** Removes what is more than the limit, but for the one that is needed now. */
  async function trim(needed: string): Promise<void> {
    const all = await list();
    let left = all.reduce((n, e) => n + e.bytes, 0);
    for (const { key, bytes } of [...all].reverse()) {
      if (left <= limit) break;
      if (key === needed) continue;
      await remove(key);
      left -= bytes;
    }
    for (const name of (await names()).filter((n) => !isKey(n))) {
      const { mtimeMs } = await stat(join(folder, name)).catch(() => ({ mtimeMs: Infinity }));
      if (Date.now() - mtimeMs > staleMs) await rm(join(folder, name), { recursive: true, force: true }); // prettier-ignore
    }
  }
  return {
    folder,
    limit,
    list,
    remove,
    async find(key) {
      if (!(await entryOf(key))) return undefined;
      const now = new Date();
      // Where it may only be read it is found all the same.
      await utimes(noteOf(key), now, now).catch(() => undefined);
      return bundleOf(key);
    },
    async keep(key, { source, options }, make) {
      const partial = aside(key);
      await mkdir(partial, { recursive: true });
      try {
        await make(join(partial, 'bundle'));
        const bytes = await bytesIn(join(partial, 'bundle'));
        await writeFile(join(partial, 'entry.json'), JSON.stringify({ source, options, bytes }));
        // Another process may have made the same meanwhile: one is as good as the other.
        await rename(partial, join(folder, key)).catch(async (e: unknown) => {
          if (!(await entryOf(key))) throw e;
        });
      } finally {
        await rm(partial, { recursive: true, force: true });
      }
      await trim(key);
      return bundleOf(key);
    },
    async clear() {
      for (const name of await names()) {
        if (isKey(name)) await remove(name);
        else await rm(join(folder, name), { recursive: true, force: true });
      }
    },
  };
}

async function bytesIn(folder: string): Promise<number> {
  const found = await readdir(folder, { recursive: true });
  const stats = await Promise.all(found.map((name) => stat(join(folder, name))));
  return stats.reduce((n, s) => n + (s.isFile() ? s.size : 0), 0);
}

function isNote(v: unknown): v is Origin & { readonly bytes: number } {
  if (typeof v !== 'object' || v === null) return false;
  const { source, options, bytes } = v as Readonly<Record<string, unknown>>; // read as what it may be
  return typeof source === 'string' && typeof options === 'string' && typeof bytes === 'number';
}
