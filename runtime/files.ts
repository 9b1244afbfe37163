/** The files of a bundle, from a folder or a URL, each checked against its hash. */
import { BundleError } from './errors.ts';
import type { FileEntry, Manifest } from './manifest.ts';
import { readManifest } from './validate.ts';

export interface BundleFiles {
  readonly manifest: Manifest;
  /** The folder as an absolute path; absent for a bundle at a URL. */
  readonly folder: string | undefined;
  /** The bytes of a listed file. Throws BundleError if they are not what the manifest says. */
  read(path: string): Promise<Uint8Array>;
  /** Throws BundleError if these bytes of a listed file are not what the manifest says. */
  check(path: string, bytes: Uint8Array): Promise<void>;
}

interface Place {
  readonly folder: string | undefined;
  get(path: string): Promise<Uint8Array>;
  /** The sha-256 of bytes, in hexadecimal. */
  hash(bytes: Uint8Array): Promise<string> | string;
}

export async function openFiles(place: string | URL, signal?: AbortSignal): Promise<BundleFiles> {
  const { folder, get, hash } = await openPlace(place, signal);
  const manifest = readManifest(new TextDecoder().decode(await get('manifest.json')));
  const entryOf = (path: string): FileEntry => {
    const entry = manifest.files[path];
    if (!entry) throw new BundleError('bundle/file', `the bundle lists no file ${path}`);
    return entry;
  };
  const check = async (path: string, bytes: Uint8Array): Promise<void> => {
    const entry = entryOf(path);
    if (bytes.byteLength !== entry.bytes) {
      throw new BundleError(
        'bundle/file',
        `${path} has ${bytes.byteLength} bytes, the manifest says ${entry.bytes}: copy the bundle again`,
      );
    }
    if ((await hash(bytes)) !== entry.sha256) {
      throw new BundleError(
        'bundle/hash',
        `${path} is not what the manifest says (its hash differs): copy the bundle again`,
      );
    }
  };
  return {
    manifest,
    folder,
    check,
    async read(path) {
      entryOf(path);
      const bytes = await get(path);
      await check(path, bytes);
      return bytes;
    },
  };
}

async function openPlace(place: string | URL, signal: AbortSignal | undefined): Promise<Place> {
  const text = String(place);
  const isFile = text.startsWith('file:');
  if (
    !isFile &&
    (place instanceof URL || /^[a-z][a-z0-9+.-]+:\/\//.test(text) || typeof process === 'undefined')
  ) {
    const base = new URL(text.endsWith('/') ? text : `${text}/`, globalThis.location?.href);
    return {
      folder: undefined,
      hash: sha256,
      async get(path) {
        const response = await fetch(new URL(path, base), signal ? { signal } : {});
        if (!response.ok) {
          throw new BundleError('bundle/file', `${path}: the server answered ${response.status}`);
        }
        return new Uint8Array(await response.arrayBuffer());
      },
    };
  }
  const [{ createHash }, { readFile }, { resolve }, { fileURLToPath }] = await Promise.all([
    import('node:crypto'),
    import('node:fs/promises'),
    import('node:path'),
    import('node:url'),
  ]);
  const given = isFile ? fileURLToPath(text) : text;
  const folder = resolve(given);
  return {
    folder,
    // The way that pages have takes thirty milliseconds to begin.
    hash: (bytes) => createHash('sha256').update(bytes).digest('hex'),
    async get(path) {
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
    },
  };
}

async function sha256(bytes: Uint8Array): Promise<string> {
  // Digests want memory of their own kind of buffer.
  const own =
    bytes.buffer instanceof ArrayBuffer
      ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      : new Uint8Array(bytes);
  const digest = await crypto.subtle.digest('SHA-256', own);
  return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, '0')).join('');
}
