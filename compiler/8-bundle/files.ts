/**
 * Files as the compiler sees them: whoever calls it brings these, so that the compiler runs wherever
 * JavaScript does. Paths use forward slashes.
 */
export interface Files {
  /** Bytes of a file, or undefined if there is none. */
  size(path: string): Promise<number | undefined>;
  /** Exactly `length` bytes from `from` on; throws if the file ends before. */
  read(path: string, from: number, length: number): Promise<Uint8Array>;
  /** Makes folders on the way as needed. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** Moves a folder, in place of one that is there. */
  replace(from: string, to: string): Promise<void>;
  /** Removes a folder with all in it; nothing happens if there is none. */
  remove(path: string): Promise<void>;
}

export async function readAll(files: Files, path: string): Promise<Uint8Array | undefined> {
  const size = await files.size(path);
  return size === undefined ? undefined : files.read(path, 0, size);
}

export const joinFile = (folder: string, name: string): string =>
  folder.endsWith('/') ? `${folder}${name}` : `${folder}/${name}`;
