/** The files of a bundle, from a folder or a URL, each checked against its hash. */
import { checker, entryOf } from './check.ts';
import { BundleError } from './errors.ts';
import type { Manifest } from './manifest.ts';
import type { LoadOptions } from './options.ts';
import { readManifest } from './validate.ts';

export interface BundleFiles {
  readonly manifest: Manifest;
  /** The folder as an absolute path; absent for a bundle at a URL. */
  readonly folder: string | undefined;
  /** The bytes of a listed file. Throws BundleError if they are not what the manifest says. */
  read(path: string): Promise<Uint8Array>;
  /** Throws BundleError if these bytes of a listed file are not what the manifest says. */
  check(path: string, bytes: Uint8Array): Promise<void>;
  /** Brings a large file here, checked as it arrives. */
  bring(path: string, options: BringOptions): Promise<ReadyFile>;
  /** Files take a while to come: the next one is better asked for while one is used. */
  readonly ahead: boolean;
}

export interface BringOptions {
  /** Memory for that many bytes; the file's own if it is not asked for. */
  room(bytes: number): Uint8Array<ArrayBuffer>;
  /** Told as bytes arrive: how many there are by now. */
  onBytes(done: number, cached: boolean): void;
}

export interface ReadyFile {
  /** Hands over all of it in order, once; the bytes are valid until `take` has ended. */
  pieces(take: (bytes: Uint8Array, at: number) => void | Promise<void>): Promise<void>;
}

export async function openFiles(
  place: string | URL,
  options: Pick<LoadOptions, 'signal' | 'cache' | 'onNotice'> = {},
): Promise<BundleFiles> {
  const text = String(place);
  const isUrl = place instanceof URL || /^[a-z][a-z0-9+.-]+:\/\//.test(text);
  if (!text.startsWith('file:') && (isUrl || typeof process === 'undefined')) {
    const { openUrl } = await import('./download.ts');
    return openUrl(
      new URL(text.endsWith('/') ? text : `${text}/`, globalThis.location?.href),
      options,
    );
  }
  return openFolder(text, options.signal);
}

async function openFolder(text: string, signal: AbortSignal | undefined): Promise<BundleFiles> {
  const [{ createHash }, { readFile }, { resolve }, { fileURLToPath }] = await Promise.all([
    import('node:crypto'),
    import('node:fs/promises'),
    import('node:path'),
    import('node:url'),
  ]);
  const given = text.startsWith('file:') ? fileURLToPath(text) : text;
  const folder = resolve(given);
  const get = async (path: string): Promise<Uint8Array> => {
    signal?.throwIfAborted();
    try {
      return await readFile(`${folder}/${path}`);
    } catch (e) {
      const reason =
        e instanceof Error && 'code' in e && e.code === 'ENOENT' ? 'is not there' : String(e);
      const what =
        path === 'manifest.json' ? `${given} is no bundle: ${path}` : `${given}: ${path}`;
      throw new BundleError('bundle/file', `${what} ${reason}`);
    }
  };
  const manifest = readManifest(new TextDecoder().decode(await get('manifest.json')));
  // The way that pages have takes thirty milliseconds to begin.
  const check = checker(manifest, (bytes) => createHash('sha256').update(bytes).digest('hex'));
  const read = async (path: string): Promise<Uint8Array> => {
    entryOf(manifest, path);
    const bytes = await get(path);
    await check(path, bytes);
    return bytes;
  };
  return {
    manifest,
    folder,
    check,
    read,
    ahead: false,
    async bring(path, { onBytes }) {
      const bytes = await read(path);
      onBytes(bytes.byteLength, false);
      return { pieces: async (take) => take(bytes, 0) };
    },
  };
}
