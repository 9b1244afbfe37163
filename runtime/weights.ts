/** The weights of a bundle, shard by shard to where they are computed with. */
import type { BundleFiles, ReadyFile } from './files.ts';
import type { LoadOptions } from './options.ts';

/** Takes bytes for an offset of the weight address space; they are valid until it returns or resolves. */
export type TakeWeights = (bytes: Uint8Array, offset: number) => void | Promise<void>;

/**
 * Hands over all weights in order. From a URL the next shard is downloaded while one is taken: two are
 * held, in buffers that are used again. Each shard is held against its hash before any of it is taken,
 * unless it comes from the browser's storage, where only what was has been put.
 */
export async function streamWeights(
  files: BundleFiles,
  take: TakeWeights,
  { onProgress, signal }: Pick<LoadOptions, 'onProgress' | 'signal'>,
): Promise<void> {
  const { shards, bytes: total } = files.manifest.weights;
  const largest = shards.reduce((n, s) => Math.max(n, s.bytes), 0);
  const rooms: Uint8Array<ArrayBuffer>[] = [];
  const done = shards.map(() => 0);
  let sum = 0;
  const bring = (index: number): Promise<ReadyFile> => {
    const shard = shards[index];
    if (!shard) throw new Error(`no shard ${index}`);
    return files.bring(shard.file, {
      room: (bytes) => (rooms[index % 2] ??= new Uint8Array(largest)).subarray(0, bytes),
      onBytes(now, cached) {
        sum += now - (done[index] ?? 0);
        done[index] = now;
        const { file, bytes } = shard;
        const count = shards.length;
        onProgress?.(sum, total, { file, index, count, done: now, total: bytes, cached });
      },
    });
  };
  let next: Promise<ReadyFile> | undefined;
  for (const [i, shard] of shards.entries()) {
    signal?.throwIfAborted();
    const file = await (next ?? bring(i));
    next = files.ahead && i + 1 < shards.length ? bring(i + 1) : undefined;
    next?.catch(() => undefined); // told when it is waited for
    await file.pieces((bytes, at) => take(bytes, shard.offset + at));
  }
}
