/** What the browser stores for the page's origin: named blobs, in files of its own or in its cache. */
import { cacheStore } from './cache-api.ts';
import { opfsStore } from './opfs.ts';

export interface Store {
  get(name: string): Promise<Blob | undefined>;
  /** All of it or nothing. Rejects with what the browser says, where storage is full. */
  put(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  remove(name: string): Promise<void>;
  list(): Promise<readonly string[]>;
  /** Removes what a page that was closed left half written. */
  tidy(): Promise<void>;
}

/** The store to write to: private files of the origin, else the Cache API, else none. */
export const openStore = async (): Promise<Store | undefined> =>
  (await opfsStore()) ?? (await cacheStore());

/** Both: which one was written to may differ between a page and its workers. */
export async function allStores(): Promise<readonly Store[]> {
  const both = [await opfsStore('read'), await cacheStore()];
  return both.filter((s) => s !== undefined);
}
