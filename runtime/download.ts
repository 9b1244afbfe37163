/** A bundle at a URL: what the browser has stored of it, and the network for the rest. */
import { checker, entryOf } from './check.ts';
import { BundleError } from './errors.ts';
import type { BundleFiles, ReadyFile } from './files.ts';
import { sha256 } from './hash.ts';
import type { LoadOptions } from './options.ts';
import { type Keeper, openKeeper } from './store/keeper.ts';
import { readManifest } from './validate.ts';

type Options = Pick<LoadOptions, 'signal' | 'cache' | 'onNotice'>;

/** Bytes of a stored file that are read at a time. */
const pieceBytes = 4 * 2 ** 20;

export async function openUrl(base: URL, options: Options): Promise<BundleFiles> {
  const { signal, cache, onNotice } = options;
  const keeper = cache === false ? undefined : await openKeeper(onNotice);
  const text = await manifestText(base, keeper, options);
  const manifest = readManifest(text);
  await keeper?.keepManifest(base.href, text, manifest);
  const check = checker(manifest, sha256);
  /** What is stored once needs no second copy in the browser's own cache. */
  const request: RequestInit = {
    cache: keeper ? 'no-store' : 'default',
    ...(signal ? { signal } : {}),
  };

  const download = async (
    path: string,
    room: (bytes: number) => Uint8Array<ArrayBuffer>,
    onBytes: (done: number) => void,
  ): Promise<Uint8Array<ArrayBuffer>> => {
    const { bytes: size, sha256: name } = entryOf(manifest, path);
    const response = await ask(new URL(path, base), path, request);
    const bytes = room(size);
    const end = await readInto(response, bytes, onBytes);
    if (end !== size) {
      const found = end > size ? 'more' : String(end);
      throw new BundleError(
        'bundle/file',
        `${path} has ${found} bytes, the manifest says ${size}: copy the bundle again`,
      );
    }
    await check(path, bytes);
    await keeper?.put(name, bytes);
    return bytes;
  };
  return {
    manifest,
    folder: undefined,
    check,
    ahead: true,
    async read(path) {
      const { bytes, sha256: name } = entryOf(manifest, path);
      const kept = await keeper?.get(name, bytes);
      if (kept) return new Uint8Array(await kept.arrayBuffer());
      return download(
        path,
        (size) => new Uint8Array(size),
        () => undefined,
      );
    },
    async bring(path, { room, onBytes }) {
      const { bytes: size, sha256: name } = entryOf(manifest, path);
      const kept = await keeper?.get(name, size);
      if (kept) return storedFile(path, kept, onBytes, signal);
      const bytes = await download(path, room, (done) => onBytes(done, false));
      return { pieces: async (take) => take(bytes, 0) };
    },
  };
}

const storedFile = (
  path: string,
  kept: Blob,
  onBytes: (done: number, cached: boolean) => void,
  signal: AbortSignal | undefined,
): ReadyFile => ({
  async pieces(take) {
    for (let at = 0; at < kept.size; at += pieceBytes) {
      signal?.throwIfAborted();
      const end = Math.min(at + pieceBytes, kept.size);
      const bytes = await kept
        .slice(at, end)
        .arrayBuffer()
        .catch((e: unknown) => {
          throw new BundleError(
            'bundle/file',
            `${path} went from the browser's storage: ${String(e)}`,
          );
        });
      await take(new Uint8Array(bytes), at);
      onBytes(end, true);
    }
  },
});

/** The server's manifest where it answers, else the stored one. */
async function manifestText(
  base: URL,
  keeper: Keeper | undefined,
  { signal, onNotice }: Options,
): Promise<string> {
  const request: RequestInit = { cache: 'no-cache', ...(signal ? { signal } : {}) };
  try {
    const response = await ask(new URL('manifest.json', base), 'manifest.json', request);
    return await response.text();
  } catch (e) {
    signal?.throwIfAborted();
    if (!(e instanceof BundleError) || e.code !== 'bundle/network') throw e;
    const kept = await keeper?.manifestOf(base.href);
    if (kept === undefined) throw e;
    onNotice?.({ code: 'cache/offline', message: `${e.message}; what is stored of it is used` });
    return kept;
  }
}

/** Throws BundleError: `bundle/network` where nobody answers, `bundle/file` where it is not there. */
async function ask(url: URL, path: string, request: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, request);
  } catch (e) {
    request.signal?.throwIfAborted();
    throw new BundleError('bundle/network', `${path}: ${url.origin} is out of reach: ${String(e)}`);
  }
  if (response.ok) return response;
  throw new BundleError(
    response.status < 500 ? 'bundle/file' : 'bundle/network',
    `${path}: the server answered ${response.status}`,
  );
}

/** Bytes read; past the room, more than fit. Chunks are not kept. */
async function readInto(
  response: Response,
  room: Uint8Array,
  onBytes: (done: number) => void,
): Promise<number> {
  const reader = response.body?.getReader();
  if (!reader) return 0;
  let at = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return at;
    if (at + value.byteLength > room.byteLength) {
      await reader.cancel();
      return at + value.byteLength;
    }
    room.set(value, at);
    at += value.byteLength;
    onBytes(at);
  }
}
