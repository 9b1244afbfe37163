/** The weight address space of a program, streamed from a checkpoint into shards. */
import { present } from '../base/invariant.ts';
import type { BoundWeights } from '../2-model/bind-weights.ts';
import { packedBytes } from '../5-kernel/layout.ts';
import type { Program, WeightSlot } from '../6-program/program.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { Files } from './files.ts';
import { converted } from './convert.ts';
import { packWeight } from './pack.ts';
import { readTensor } from './tensor.ts';

/** Largest shard, and the page that shards are multiples of. */
export const shardBytes = 64 * 2 ** 20;
export const page = 65_536;

export interface ShardSink {
  (bytes: Uint8Array, offset: number): Promise<void>;
}

interface Packing {
  readonly offset: number;
  readonly slot: WeightSlot;
  readonly iteration: number;
}

/**
 * Packs every weight and hands over shards in order. One tensor (or one expert of a stack) and one
 * shard are held at a time.
 */
export async function streamWeights(
  program: Program,
  bound: BoundWeights,
  checkpoint: Checkpoint,
  files: Files,
  sink: ShardSink,
  options: {
    readonly onProgress?: (done: number, total: number) => void;
    readonly signal?: AbortSignal;
  },
): Promise<void> {
  const total = Math.ceil(program.memory.weightBytes / page) * page;
  const writer = makeShardWriter(total, sink);
  for (const p of inOrder(program)) {
    const parts = present(bound.weights.get(p.slot.name), `bound weight ${p.slot.name}`);
    const names = present(parts.names[p.iteration], 'names of an iteration');
    const own = names.length > 1 ? p.slot.shape.slice(1) : p.slot.shape;
    const each = packedBytes(own, p.slot.dtype, p.slot.layout);
    for (const [i, name] of names.entries()) {
      options.signal?.throwIfAborted();
      const t = present(checkpoint.tensors.get(name), name);
      const stored = await readTensor(files, name, t);
      const numbers = converted(stored, parts.from, parts.dtype);
      await writer.write(
        packWeight(numbers, own, p.slot.dtype, p.slot.layout),
        p.offset + i * each,
      );
      options.onProgress?.(p.offset + (i + 1) * each, total);
    }
  }
  await writer.end();
}

function inOrder(program: Program): Packing[] {
  const all = program.weights.flatMap((slot) =>
    Array.from({ length: slot.count }, (_, iteration): Packing => ({
      slot,
      iteration,
      offset: slot.offset + iteration * slot.stride,
    })),
  );
  return all.sort((a, b) => a.offset - b.offset);
}

/** Collects bytes that come in rising order of their offsets; gaps are zeros. */
function makeShardWriter(total: number, sink: ShardSink) {
  let start = 0;
  let shard = new Uint8Array(Math.min(shardBytes, total));
  const flush = async (): Promise<void> => {
    if (shard.byteLength === 0) return;
    await sink(shard, start);
    start += shard.byteLength;
    shard = new Uint8Array(Math.min(shardBytes, total - start));
  };
  return {
    async write(bytes: Uint8Array, offset: number): Promise<void> {
      let done = 0;
      while (done < bytes.byteLength) {
        const at = offset + done - start;
        if (at >= shard.byteLength) {
          await flush();
          continue;
        }
        const part = Math.min(bytes.byteLength - done, shard.byteLength - at);
        shard.set(bytes.subarray(done, done + part), at);
        done += part;
      }
    },
    async end(): Promise<void> {
      while (start < total) await flush();
    },
  };
}
