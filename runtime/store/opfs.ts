/** The origin private file system as a store. */
import type { Store } from './store.ts';

const folderName = 'cograph';

/** Parts of the interface that only workers or only some browsers have. */
interface PrivateFile extends FileSystemFileHandle {
  createSyncAccessHandle?(): Promise<SyncAccess>;
  move?(name: string): Promise<void>;
}
interface SyncAccess {
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  flush(): void;
  close(): void;
}

/** Nothing where there are no private files, or none that can be written from here. */
export async function opfsStore(use: 'read' | 'write' = 'write'): Promise<Store | undefined> {
  if (typeof FileSystemFileHandle === 'undefined' || !globalThis.navigator?.storage?.getDirectory)
    return undefined;
  const has = (name: string): boolean => name in FileSystemFileHandle.prototype;
  if (use === 'write' && !has('createSyncAccessHandle') && !has('createWritable')) return undefined;
  try {
    const root = await navigator.storage.getDirectory();
    return storeIn(await root.getDirectoryHandle(folderName, { create: true }), has('move'));
  } catch {
    return undefined; // private windows of some browsers have the interface and refuse its use
  }
}

function storeIn(folder: FileSystemDirectoryHandle, canMove: boolean): Store {
  const list = async (): Promise<string[]> => {
    const names: string[] = [];
    for await (const name of folder.keys()) names.push(name);
    return names;
  };
  const remove = async (name: string): Promise<void> => {
    await folder.removeEntry(name).catch(() => undefined); // in use elsewhere, or gone
  };
  return {
    async get(name) {
      try {
        return await (await folder.getFileHandle(name)).getFile();
      } catch {
        return undefined;
      }
    },
    async put(name, bytes) {
      // A file has its name once it is whole; without `move` its size tells.
      const first = canMove ? `${name}.part-${crypto.randomUUID()}` : name;
      try {
        const file: PrivateFile = await folder.getFileHandle(first, { create: true });
        await write(file, bytes);
        if (canMove) await file.move?.(name);
      } catch (e) {
        await remove(first);
        throw e;
      }
    },
    remove,
    async list() {
      return (await list()).filter((n) => !n.includes('.part-'));
    },
    async tidy() {
      // What another page is writing is locked and stays.
      for (const name of await list()) if (name.includes('.part-')) await remove(name);
    },
  };
}

async function write(file: PrivateFile, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  if (!file.createSyncAccessHandle) {
    const stream = await file.createWritable();
    try {
      await stream.write(bytes);
      await stream.close();
    } catch (e) {
      await stream.abort().catch(() => undefined);
      throw e;
    }
    return;
  }
  const access = await file.createSyncAccessHandle();
  try {
    let at = 0;
    while (at < bytes.byteLength) {
      const count = access.write(bytes.subarray(at), { at });
      if (count === 0) throw new DOMException('no bytes were written', 'QuotaExceededError');
      at += count;
    }
    access.flush();
  } finally {
    access.close();
  }
}
