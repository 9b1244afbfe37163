/** Weights of a bundle on their way into buffers. */
import type { BundleFiles } from '../files.ts';
import type { LoadOptions } from '../options.ts';
import { streamWeights } from '../weights.ts';
import type { GpuBuffers } from './buffers.ts';

/** Bytes that are handed to the GPU before it is waited for: what it copies them through is not ours. */
const inFlight = 32 * 2 ** 20;

/** Weights to their buffers as they arrive; bytes that no launch reads are left out. */
export async function fillWeights(
  device: GPUDevice,
  { weights }: GpuBuffers,
  files: BundleFiles,
  options: Pick<LoadOptions, 'onProgress' | 'signal'>,
): Promise<void> {
  const { queue } = device;
  let waiting = 0;
  // Whole words are written: what is over from a piece goes before the next one.
  const rest = new Uint8Array(4);
  let over = 0;
  const write = (bytes: Uint8Array<ArrayBuffer>, offset: number): void => {
    for (const { from, to, buffer } of weights) {
      const [first, end] = [Math.max(from, offset), Math.min(to, offset + bytes.byteLength)];
      if (first >= end) continue;
      queue.writeBuffer(buffer, first - from, bytes, first - offset, end - first);
    }
  };
  await streamWeights(
    files,
    async (given, offset) => {
      const bytes = given as Uint8Array<ArrayBuffer>; // no shared memory comes from files
      let start = 0;
      while (over > 0 && start < bytes.byteLength) {
        rest[over++] = bytes[start++] ?? 0;
        if (over < 4) continue;
        write(rest, offset + start - 4);
        over = 0;
      }
      const end = start + Math.floor((bytes.byteLength - start) / 4) * 4;
      write(bytes.subarray(start, end), offset + start);
      for (let i = end; i < bytes.byteLength; i++) rest[over++] = bytes[i] ?? 0;
      waiting += bytes.byteLength;
      if (waiting < inFlight) return;
      waiting = 0;
      queue.submit([]);
      await queue.onSubmittedWorkDone();
    },
    options,
  );
  queue.submit([]);
  await queue.onSubmittedWorkDone();
}
