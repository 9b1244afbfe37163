/** The Cache API as a store, for browsers without private files. */
import type { Store } from './store.ts';

const cacheName = 'cograph';
/** Entries are named by URLs; nothing is ever asked from this one. */
const base = 'https://cograph.invalid/';

/** Nothing outside of secure pages, and where the browser refuses. */
export async function cacheStore(): Promise<Store | undefined> {
  if (typeof caches === 'undefined' || typeof Request === 'undefined') return undefined;
  try {
    return storeIn(await caches.open(cacheName));
  } catch {
    return undefined;
  }
}

const storeIn = (cache: Cache): Store => ({
  get: async (name) => (await cache.match(base + name))?.blob(),
  put: (name, bytes) => cache.put(base + name, new Response(bytes)),
  async remove(name) {
    await cache.delete(base + name);
  },
  list: async () => (await cache.keys()).map(({ url }) => url.slice(base.length)),
  // Entries appear when they are whole.
  tidy: () => Promise.resolve(),
});
