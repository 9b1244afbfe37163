/**
 * Bundles in the browser's storage: files under their hashes, so that bundles share what they have in
 * common, and each bundle's manifest under its URL.
 */
import { sha256 } from '../hash.ts';
import type { Manifest } from '../manifest.ts';
import type { LoadOptions, Notice } from '../options.ts';
import { readManifest } from '../validate.ts';
import { type Store, allStores, openStore } from './store.ts';

export interface Keeper {
  /** A stored file of that size. */
  get(hash: string, bytes: number): Promise<Blob | undefined>;
  /** Stores checked bytes; says so once and stores nothing more where that fails. */
  put(hash: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  manifestOf(url: string): Promise<string | undefined>;
  /** Stores a manifest; files that only the one before it named are removed. */
  keepManifest(url: string, text: string, manifest: Manifest): Promise<void>;
}

/** Nothing where the browser stores nothing for this page. */
export async function openKeeper(onNotice: LoadOptions['onNotice']): Promise<Keeper | undefined> {
  const store = await openStore();
  if (!store) return undefined;
  await store.tidy().catch(() => undefined);
  let full = false;
  const put = async (name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> => {
    if (full) return;
    try {
      await store.put(name, bytes);
    } catch (e) {
      full = true;
      onNotice?.(await noticeOf(e));
    }
  };
  return {
    async get(hash, bytes) {
      const kept = await store.get(hash).catch(() => undefined);
      if (kept?.size === bytes) return kept;
      if (kept) await store.remove(hash);
      return undefined;
    },
    put,
    manifestOf: async (url) => (await recordOf(store, await recordName(url)))?.manifest,
    async keepManifest(url, text) {
      const name = await recordName(url);
      const before = await recordOf(store, name);
      if (before?.manifest === text) return;
      await put(name, new TextEncoder().encode(JSON.stringify({ url, manifest: text })));
      if (before) await removeUnnamed(store);
    },
  };
}

async function noticeOf(e: unknown): Promise<Notice> {
  const name = e instanceof DOMException ? e.name : '';
  if (name !== 'QuotaExceededError') {
    return { code: 'cache/failed', message: `nothing more is stored: ${String(e)}` };
  }
  const { usage, quota } = await navigator.storage.estimate().catch((): StorageEstimate => ({}));
  const mib = (n: number | undefined): string => `${Math.round((n ?? 0) / 2 ** 20)} MiB`;
  const message = `the browser's storage is full (${mib(usage)} of ${mib(quota)}): the next visit downloads the rest again`;
  return { code: 'cache/quota', message };
}

const recordPrefix = 'bundle-';
const recordName = async (url: string): Promise<string> =>
  recordPrefix + (await sha256(new TextEncoder().encode(url)));

interface BundleRecord {
  readonly url: string;
  readonly manifest: string;
}

async function recordOf(store: Store, name: string): Promise<BundleRecord | undefined> {
  const kept = await store.get(name).catch(() => undefined);
  if (!kept) return undefined;
  try {
    const record: unknown = JSON.parse(await kept.text());
    if (typeof record !== 'object' || record === null) return undefined;
    if (!('url' in record) || !('manifest' in record)) return undefined;
    const { url, manifest } = record;
    return typeof url === 'string' && typeof manifest === 'string' ? { url, manifest } : undefined;
  } catch {
    return undefined; // cut off
  }
}

/** Removes files that no stored manifest names, and manifests that cannot be read. */
async function removeUnnamed(store: Store): Promise<void> {
  const named = new Set<string>();
  const names = await store.list();
  for (const name of names.filter((n) => n.startsWith(recordPrefix))) {
    const record = await recordOf(store, name);
    const manifest = record && manifestIn(record);
    if (!manifest) continue;
    named.add(name);
    for (const { sha256: hash } of Object.values(manifest.files)) named.add(hash);
  }
  for (const name of names) if (!named.has(name)) await store.remove(name);
}

function manifestIn(record: BundleRecord): Manifest | undefined {
  try {
    return readManifest(record.manifest);
  } catch {
    return undefined; // of a later version
  }
}

/** What the browser has stored of a bundle. */
export interface CachedBundle {
  readonly url: string;
  readonly name: string;
  /** Bytes of weights in all, and as many of them as are stored. */
  readonly bytes: number;
  readonly storedBytes: number;
}

/** The bundles that `load` has stored something of for this origin. */
export async function cachedBundles(): Promise<readonly CachedBundle[]> {
  const found: CachedBundle[] = [];
  for (const store of await allStores()) {
    const names = new Set(await store.list());
    for (const name of names) {
      const record = name.startsWith(recordPrefix) ? await recordOf(store, name) : undefined;
      const manifest = record && manifestIn(record);
      if (!record || !manifest) continue;
      const stored = manifest.weights.shards.filter((s) =>
        names.has(manifest.files[s.file]?.sha256 ?? ''),
      );
      found.push({
        url: record.url,
        name: manifest.name,
        bytes: manifest.weights.bytes,
        storedBytes: stored.reduce((n, s) => n + s.bytes, 0),
      });
    }
  }
  return found;
}

/** Removes what is stored of the bundle at a URL, as far as no other has it too; without one, all. */
export async function clearCache(place?: string | URL): Promise<void> {
  const text = String(place);
  const url = place && new URL(text.endsWith('/') ? text : `${text}/`, globalThis.location?.href);
  for (const store of await allStores()) {
    if (!url) {
      for (const name of await store.list()) await store.remove(name);
      await store.tidy();
      continue;
    }
    await store.remove(await recordName(url.href));
    await removeUnnamed(store);
  }
}
