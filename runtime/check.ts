/** Files of a bundle held against what the manifest says of them. */
import { BundleError } from './errors.ts';
import type { FileEntry, Manifest } from './manifest.ts';

/** The sha-256 of bytes, in hexadecimal. */
export type Hash = (bytes: Uint8Array) => Promise<string> | string;

export function entryOf(manifest: Manifest, path: string): FileEntry {
  const entry = manifest.files[path];
  if (!entry) throw new BundleError('bundle/file', `the bundle lists no file ${path}`);
  return entry;
}

export function checker(
  manifest: Manifest,
  hash: Hash,
): (path: string, bytes: Uint8Array) => Promise<void> {
  return async (path, bytes) => {
    const entry = entryOf(manifest, path);
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
}
