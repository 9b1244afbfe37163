/** The weight address space of a program, streamed from a checkpoint into shards. */
import { present } from '../base/invariant.ts';
import type { BoundWeights } from '../2-model/bind-weights.ts';
import { packedBytes } from '../5-kernel/packed.ts';
import type { Program, WeightSlot } from '../6-program/program.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { Files } from './files.ts';
import { packWeight, piecesOf } from './pack.ts';
import { packScheme } from './pack-scheme.ts';
import { plainBytes, readTensor } from './tensor.ts';

/** Largest shard, and the page that shards are multiples of. */
export const shardBytes = 64 * 2 ** 20;
export const page = 65_536;

/** About how many bytes of a matrix are packed at a time. */
const pieceBytes = 8 * 2 ** 20;

export interface ShardSink {
  (bytes: Uint8Array, offset: number): Promise<void>;
}

interface StreamOptions {
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

interface Packing {
  readonly offset: number;
  readonly slot: WeightSlot;
  readonly iteration: number;
}

/**
 * Packs every weight and hands over shards in order, the next one filled while one is taken: one
 * tensor (or one expert of a stack) and two shards are held at a time. Nothing is being taken any more
 * when it ends, be it with an error.
 */
export async function streamWeights(
  program: Program,
  bound: BoundWeights,
  checkpoint: Checkpoint,
  files: Files,
  sink: ShardSink,
  options: StreamOptions,
): Promise<void> {
  const total = Math.ceil(program.memory.weightBytes / page) * page;
  const writer = makeShardWriter(total, sink);
  try {
    await packAll(program, bound, checkpoint, files, writer, total, options);
    await writer.end();
  } finally {
    await writer.settled();
  }
}

async function packAll(
  program: Program,
  bound: BoundWeights,
  checkpoint: Checkpoint,
  files: Files,
  writer: ShardWriter,
  total: number,
  options: StreamOptions,
): Promise<void> {
  for (const p of inOrder(program)) {
    const parts = present(bound.weights.get(p.slot.name), `bound weight ${p.slot.name}`);
    const names = present(parts.names[p.iteration], 'names of an iteration');
    const own = names.length > 1 ? p.slot.shape.slice(1) : p.slot.shape;
    const each = packedBytes(own, p.slot.dtype, p.slot.layout);
    for (const [i, name] of names.entries()) {
      options.signal?.throwIfAborted();
      const t = present(checkpoint.tensors.get(name), name);
      const stored = await readTensor(files, name, t);
      const { layout, dtype } = p.slot;
      const at = p.offset + i * each;
      if (layout.kind === 'blocks') {
        await writer.write(packScheme(stored, t, parts.from, own, layout), at);
      } else {
        const plain = plainBytes(stored, t, parts.from, dtype);
        for (const piece of piecesOf(own, dtype, layout, pieceBytes)) {
          const rows = plain.subarray(piece.from, piece.from + piece.bytes);
          await writer.write(packWeight(rows, piece.shape, dtype, layout), at + piece.to);
        }
      }
      options.onProgress?.(p.offset + (i + 1) * each, total);
    }
  }
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

interface ShardWriter {
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** All shards are taken, gaps at the end too. */
  end(): Promise<void>;
  /** Ends, never with an error, when no shard is being taken. */
  settled(): Promise<void>;
}

/** Collects bytes that come in rising order of their offsets; gaps are zeros. */
function makeShardWriter(total: number, sink: ShardSink): ShardWriter {
  let start = 0;
  let shard = new Uint8Array(Math.min(shardBytes, total));
  let taken: Promise<void> = Promise.resolve();
  const settled = async (): Promise<void> => void (await Promise.allSettled([taken]));
  const flush = async (): Promise<void> => {
    if (shard.byteLength === 0) return;
    await taken;
    taken = sink(shard, start);
    // Its error is told to who waits for it next; nobody may do so before it fails.
    void settled();
    start += shard.byteLength;
    shard = new Uint8Array(Math.min(shardBytes, total - start));
  };
  return {
    async write(bytes, offset) {
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
    async end() {
      while (start < total) await flush();
      await taken;
    },
    settled,
  };
}
