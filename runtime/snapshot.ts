/** A sequence as bytes: its ids and the state of its blocks, with what they belong to. */
import { BundleError } from './errors.ts';
import type { Engine, SequenceState } from './engine.ts';

const magic = 0x53474f43; // "COGS"
/** Raised whenever the bytes of a block mean something else: an earlier layout restores to nonsense. */
const version = 2;
const headerWords = 6;

/** Little-endian u32: magic, version, key, tokens, blocks, bytes of a block; ids; blocks. */
export async function takeSnapshot(engine: Engine, s: SequenceState): Promise<Uint8Array> {
  const { blockBytes } = engine.executor;
  const start = 4 * (headerWords + s.ids.length);
  const out = new Uint8Array(start + s.blocks.length * blockBytes);
  const view = new DataView(out.buffer);
  [magic, version, s.key, s.ids.length, s.blocks.length, blockBytes, ...s.ids].forEach((w, i) =>
    view.setUint32(4 * i, w, true),
  );
  const done = engine.hold(s);
  try {
    for (const [i, b] of s.blocks.entries())
      out.set(await engine.executor.readBlock(b), start + i * blockBytes);
  } finally {
    done();
  }
  return out;
}

/** Throws BundleError if the bytes are no snapshot of this model. */
export function restoreSnapshot(engine: Engine, bytes: Uint8Array): SequenceState {
  const { blockBytes, limits } = engine.executor;
  const bad = (what: string): never => {
    throw new BundleError('snapshot/format', `the snapshot ${what}`);
  };
  if (bytes.byteLength < 4 * headerWords) return bad('is too short');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (i: number): number => view.getUint32(4 * i, true);
  if (word(0) !== magic) return bad('is none');
  if (word(1) !== version) return bad(`has version ${word(1)}; this runtime reads ${version}`);
  const [key, tokens, blocks] = [word(2), word(3), word(4)];
  if (word(5) !== blockBytes) return bad('belongs to another model');
  if (blocks !== Math.ceil(tokens / limits.block)) return bad('contradicts itself');
  const start = 4 * (headerWords + tokens);
  if (bytes.byteLength !== start + blocks * blockBytes) return bad('has another size than it says');
  const ids = Array.from({ length: tokens }, (_, i) => word(headerWords + i));
  if (ids.some((id) => id >= limits.vocab)) return bad('holds ids outside the vocabulary');
  if (blocks > limits.blocksPerSequence)
    return bad(`holds ${tokens} tokens, more than the context`);
  const s = engine.adopt(key, ids);
  s.blocks.forEach((b, i) =>
    engine.executor.writeBlock(
      b,
      bytes.subarray(start + i * blockBytes, start + (i + 1) * blockBytes),
    ),
  );
  return s;
}
