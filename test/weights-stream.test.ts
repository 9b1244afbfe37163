/** Weights go from where they are to where they are used with two shards held at most. */
import { describe, expect, test } from 'vitest';
import type { BringOptions, BundleFiles, ReadyFile } from '../runtime/files.ts';
import type { Manifest } from '../runtime/manifest.ts';
import { streamWeights } from '../runtime/weights.ts';

const shardBytes = 4096;
const count = 9;

/** Stands in for a bundle at a URL: shard n is full of n, and takes a turn of the event loop to come. */
function filesOf(options: { readonly ahead: boolean; readonly broken?: number }) {
  const buffers = new Set<ArrayBufferLike>();
  let [held, most] = [0, 0];
  const order: string[] = [];
  const shards = Array.from({ length: count }, (_, i) => ({
    file: String(i),
    offset: i * shardBytes,
    // The last is shorter than its buffer.
    bytes: i === count - 1 ? shardBytes / 4 : shardBytes,
  }));
  const bytes = shards.reduce((n, s) => n + s.bytes, 0);
  const files: BundleFiles = {
    manifest: { weights: { bytes, shards } } as unknown as Manifest, // nothing else of it is read
    folder: undefined,
    ahead: options.ahead,
    read: () => Promise.reject(new Error('not asked for')),
    check: () => Promise.resolve(),
    async bring(path, { room, onBytes }: BringOptions): Promise<ReadyFile> {
      held++;
      most = Math.max(most, held);
      order.push(`bring ${path}`);
      const index = Number(path);
      const place = room(shards[index]?.bytes ?? 0);
      buffers.add(place.buffer);
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (index === options.broken) throw new Error(`shard ${index} is broken`);
      place.fill(index);
      onBytes(place.byteLength / 2, false);
      onBytes(place.byteLength, false);
      return {
        async pieces(take) {
          await take(place, 0);
          held--;
          order.push(`taken ${path}`);
        },
      };
    },
  };
  return { files, bytes, buffers, order, most: () => most };
}

describe('weights', () => {
  test.each([
    ['from a URL, one shard ahead of the one that is taken', true, 2],
    ['from a folder, one by one', false, 1],
  ])('%s', async (_, ahead, held) => {
    const { files, bytes, buffers, order, most } = filesOf({ ahead });
    const all = new Uint8Array(bytes);
    const dones: number[] = [];
    await streamWeights(
      files,
      async (piece, offset) => {
        await new Promise((resolve) => setTimeout(resolve, 3)); // a device that is slower than the network
        all.set(piece, offset);
      },
      { onProgress: (done) => dones.push(done) },
    );
    expect([...all]).toEqual(Array.from({ length: bytes }, (_, i) => Math.floor(i / shardBytes)));
    expect(most()).toBe(held);
    expect(buffers.size).toBe(2);
    expect(order.filter((o) => o.startsWith('taken'))).toEqual(
      Array.from({ length: count }, (_, i) => `taken ${i}`),
    );
    expect(dones.at(-1)).toBe(bytes);
    expect(dones).toEqual([...dones].sort((a, b) => a - b));
  });

  test('end with the first shard that fails, and where they are given up', async () => {
    const broken = filesOf({ ahead: true, broken: 3 });
    const taken: number[] = [];
    const take = (_: Uint8Array, offset: number): void => void taken.push(offset / shardBytes);
    await expect(streamWeights(broken.files, take, {})).rejects.toThrow('shard 3 is broken');
    expect(taken).toEqual([0, 1, 2]);
    const controller = new AbortController();
    const given = filesOf({ ahead: true });
    const until = (_: Uint8Array, offset: number): void => {
      if (offset === 2 * shardBytes) controller.abort(new Error('given up'));
    };
    const { signal } = controller;
    await expect(streamWeights(given.files, until, { signal })).rejects.toThrow('given up');
    expect(given.order.filter((o) => o.startsWith('taken'))).toHaveLength(3);
  });
});
