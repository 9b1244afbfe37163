/** The files of a bundle, from a folder or a URL, each checked against its hash. */
import { BundleError } from './errors.ts';
import type { Manifest } from './manifest.ts';
import { readManifest } from './validate.ts';

export interface BundleFiles {
  readonly manifest: Manifest;
  /** The bytes of a listed file. Throws BundleError if they are not what the manifest says. */
  read(path: string): Promise<Uint8Array>;
}

type Fetch = (path: string) => Promise<Uint8Array>;

export async function openFiles(place: string | URL, signal?: AbortSignal): Promise<BundleFiles> {
  const get = await fetcher(place, signal);
  const manifest = readManifest(new TextDecoder().decode(await get('manifest.json')));
  return {
    manifest,
    async read(path) {
      const entry = manifest.files[path];
      if (!entry) throw new BundleError('bundle/file', `the bundle lists no file ${path}`);
      const bytes = await get(path);
      if (bytes.byteLength !== entry.bytes) {
        throw new BundleError(
          'bundle/file',
          `${path} has ${bytes.byteLength} bytes, the manifest says ${entry.bytes}: copy the bundle again`,
        );
      }
      if ((await sha256(bytes)) !== entry.sha256) {
        throw new BundleError(
          'bundle/hash',
          `${path} is not what the manifest says (its hash differs): copy the bundle again`,
        );
      }
      return bytes;
    },
  };
}

async function fetcher(place: string | URL, signal: AbortSignal | undefined): Promise<Fetch> {
  const text = String(place);
  const isFile = text.startsWith('file:');
  if (
    !isFile &&
    (place instanceof URL || /^[a-z][a-z0-9+.-]+:\/\//.test(text) || typeof process === 'undefined')
  ) {
    const base = new URL(text.endsWith('/') ? text : `${text}/`, globalThis.location?.href);
    return async (path) => {
      const response = await fetch(new URL(path, base), signal ? { signal } : {});
      if (!response.ok) {
        throw new BundleError('bundle/file', `${path}: the server answered ${response.status}`);
      }
      return new Uint8Array(await response.arrayBuffer());
    };
  }
  const { readFile } = await import('node:fs/promises');
  const { fileURLToPath } = await import('node:url');
  const folder = isFile ? fileURLToPath(text) : text;
  return async (path) => {
    signal?.throwIfAborted();
    try {
      return await readFile(`${folder.replace(/\/+$/, '')}/${path}`);
    } catch (e) {
      const reason =
        e instanceof Error && 'code' in e && e.code === 'ENOENT' ? 'is not there' : String(e);
      const what =
        path === 'manifest.json' ? `${folder} is no bundle: ${path}` : `${folder}: ${path}`;
      throw new BundleError('bundle/file', `${what} ${reason}`);
    }
  };
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new Uint8Array(bytes));
  return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, '0')).join('');
}
