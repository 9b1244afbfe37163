/** A probe as a bundle folder: its code, a manifest, and weights made up on the spot. */
import { link, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { packScheme } from '../../8-bundle/pack-scheme.ts';
import { packWeight } from '../../8-bundle/pack.ts';
import { sha256 } from '../../8-bundle/bundle.ts';
import { page, shardBytes } from '../../8-bundle/weights.ts';
import { converted } from '../../8-bundle/convert.ts';
import { packedBytes } from '../../5-kernel/packed.ts';
import { blockEntries } from '../../5-kernel/state-rows.ts';
import { bandRows } from '../../5-kernel/layout.ts';
import { type LlvmVariant, emitLlvm } from '../../7-emit/llvm.ts';
import { type NativeTools, libraryFile } from '../../7-emit/native.ts';
import { assembleWasm, emitWasm } from '../../7-emit/wasm.ts';
import type { Program, WeightSlot } from '../../6-program/program.ts';
import {
  type FileEntry,
  type Manifest,
  type StepSizes,
  manifestVersion,
} from '../../../runtime/manifest.ts';

/** What code a probe has. */
export type ProbeTarget =
  | { readonly kind: 'wasm'; readonly threads: boolean }
  | { readonly kind: 'native'; readonly variant: LlvmVariant; readonly tools: NativeTools };

/** The weights of probes of one shape: their programs differ in code alone. */
export interface ProbeWeights {
  readonly folder: string;
  readonly bytes: number;
  readonly shards: Manifest['weights']['shards'];
  readonly entries: Readonly<Record<string, FileEntry>>;
}

/** Writes them into a folder, shard by shard. */
export async function writeProbeWeights(
  program: Program,
  folder: string,
  signal: AbortSignal,
): Promise<ProbeWeights> {
  const bytes = Math.max(1, Math.ceil(program.memory.weightBytes / page)) * page;
  const shards: Manifest['weights']['shards'][number][] = [];
  const entries: Record<string, FileEntry> = {};
  const samples = program.weights.map((slot) => ({ slot, sample: sampleOf(slot) }));
  for (let from = 0; from < bytes; from += shardBytes) {
    signal.throwIfAborted();
    const shard = new Uint8Array(Math.min(shardBytes, bytes - from));
    for (const { slot, sample } of samples) fillFrom(shard, from, slot, sample);
    const file = `weights/${shards.length}.bin`;
    await put(folder, file, shard, entries);
    shards.push({ file, offset: from, bytes: shard.byteLength });
  }
  return { folder, bytes, shards, entries };
}

/** Writes the bundle of a probe: `weights` become part of it without being copied. */
export async function writeProbe(
  program: Program,
  weights: ProbeWeights,
  target: ProbeTarget,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const entries: Record<string, FileEntry> = { ...weights.entries };
  const programs = await programsOf(program, target, folder, entries, signal);
  const { memory, states } = program;
  const manifest: Manifest = {
    format: 'cograph-bundle',
    version: manifestVersion,
    name: program.name,
    compiler: '',
    model: { vocab: wordsOf(program), eos: [], parameters: 0 },
    files: entries,
    weights: { bytes: weights.bytes, shards: weights.shards, parts: [] },
    cache: {
      block: blockEntries,
      bytesPerSlot: memory.stateBytesPerSlot,
      states: states.map(({ name, bytes, offset, count, stride }) => ({
        name,
        bytes,
        offset,
        count,
        stride,
      })),
    },
    programs,
    cost: { flopsPerToken: 0, weightBytesPerToken: 0 },
  };
  for (const { file } of weights.shards) {
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await link(join(weights.folder, file), join(folder, file));
  }
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
}

const wordsOf = ({ memory }: Program): number => memory.arenaBytes / 4;

async function programsOf(
  program: Program,
  target: ProbeTarget,
  folder: string,
  entries: Record<string, FileEntry>,
  signal: AbortSignal,
): Promise<Manifest['programs']> {
  const { limits, memory } = program;
  // The whole arena is what a step leaves: so it can be filled from outside.
  const sizes: StepSizes = {
    limits,
    arenaBytes: memory.arenaBytes,
    scratchBytes: memory.scratchBytes,
    output: { offset: 0, width: wordsOf(program), rowBytes: memory.arenaBytes },
  };
  switch (target.kind) {
    case 'wasm': {
      const { threads } = target;
      const variants: { file: string; threads: boolean; relaxed: boolean }[] = [];
      for (const relaxed of [true, false]) {
        signal.throwIfAborted();
        const options = { threads, relaxed, memory64: false };
        const code = await assembleWasm(emitWasm(program, options), program.name);
        const file = relaxed ? 'step.relaxed.wasm' : 'step.wasm';
        await put(folder, file, code, entries);
        variants.push({ file, threads, relaxed });
      }
      return { wasm: { variants, ...sizes } };
    }
    case 'native': {
      const { tools, variant } = target;
      const object = await tools.object(emitLlvm(program, variant), variant, signal);
      const file = libraryFile(variant);
      await put(folder, file, await tools.link(object, variant, signal), entries);
      return { native: { variants: [{ file, ...variant }], ...sizes } };
    }
  }
}

async function put(
  folder: string,
  file: string,
  bytes: Uint8Array,
  entries: Record<string, FileEntry>,
): Promise<void> {
  entries[file] = { bytes: bytes.byteLength, sha256: await sha256(bytes) };
  await mkdir(dirname(join(folder, file)), { recursive: true });
  await writeFile(join(folder, file), bytes);
}

/** The first unit of a weight, packed: all others are like it. */
function sampleOf({ shape, dtype, layout }: WeightSlot): Uint8Array {
  const k = shape.at(-1) ?? 1;
  const unit = layout.kind === 'tiles' || layout.kind === 'blocks' ? layout.unit : bandRows;
  const own = shape.length === 1 ? shape : [unit, k];
  const count = own.reduce((a, b) => a * b, 1);
  // Small numbers of both signs, never so small that they have no full precision.
  const numbers = Float32Array.from({ length: count }, (_, i) => ((i * 2654435761) % 251) / 4096 - 0.03); // prettier-ignore
  const stored = new Uint8Array(numbers.buffer);
  if (layout.kind !== 'blocks')
    return packWeight(converted(stored, 'f32', dtype), own, dtype, layout);
  const entry = { file: '', dtype: 'F32', shape: own, offset: 0, bytes: stored.byteLength };
  return packScheme(stored, entry, 'f32', own, layout);
}

/** What of a weight's copies lies in the shard that begins at `from`. */
function fillFrom(shard: Uint8Array, from: number, slot: WeightSlot, sample: Uint8Array): void {
  const bytes = packedBytes(slot.shape, slot.dtype, slot.layout);
  for (let copy = 0; copy < slot.count; copy++) {
    const start = slot.offset + copy * slot.stride - from;
    const end = Math.min(start + bytes, shard.byteLength);
    const skipped = Math.max(0, Math.floor(-start / sample.byteLength));
    for (let at = start + skipped * sample.byteLength; at < end; at += sample.byteLength) {
      const first = Math.max(0, -at);
      if (first >= sample.byteLength) continue;
      shard.set(sample.subarray(first, Math.min(sample.byteLength, end - at)), at + first);
    }
  }
}
