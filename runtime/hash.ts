/** The sha-256 of bytes, where there is nothing but the Web's own functions. */
import { DeviceError } from './errors.ts';

/** In hexadecimal. Throws DeviceError in a page that is not served securely. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  // Typed as always there; absent in pages that are not secure.
  const subtle: SubtleCrypto | undefined = globalThis.crypto?.subtle;
  if (!subtle) {
    throw new DeviceError(
      'device/secure',
      'the page cannot check what it downloads: serve it over https, or from localhost',
    );
  }
  // Digests want memory of their own kind of buffer.
  const own =
    bytes.buffer instanceof ArrayBuffer
      ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      : new Uint8Array(bytes);
  const digest = await subtle.digest('SHA-256', own);
  return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, '0')).join('');
}
