/** Small Llama checkpoints of any shape with random weights, for differential tests. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Shape, configOf, headerOf, tensorsOf } from '../../bench/checkpoints.ts';
import type { BoundModel } from '../../compiler/index.ts';
import { modelOf } from '../../stdlib/index.ts';
import { temporaryFolder } from './models.ts';

export interface RandomShape extends Omit<Shape, 'name'> {
  readonly dtype: 'F32' | 'BF16' | 'F16';
  readonly context: number;
}

/** Numbers in [-1, 1), the same for the same seed. */
export function makeRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/** A half of the nearest value at or below in size; the numbers here are small and normal. */
function halfBits(value: number): number {
  if (value === 0) return 0;
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value))));
  const mantissa = Math.floor((Math.abs(value) / 2 ** exponent) * 1024);
  const bits = mantissa < 1024 ? mantissa : ((exponent + 15) << 10) | (mantissa - 1024);
  return (value < 0 ? 0x8000 : 0) | bits;
}

function stored(values: Float32Array, dtype: RandomShape['dtype']): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer);
  const bits = new Uint32Array(values.buffer);
  const out = Uint16Array.from(values, (v, i) =>
    dtype === 'BF16' ? (bits[i] ?? 0) >>> 16 : halfBits(v),
  );
  return new Uint8Array(out.buffer);
}

/** The folder of the checkpoint, and the model that its config describes. */
export function randomCheckpoint(given: RandomShape): {
  readonly folder: string;
  readonly bound: BoundModel;
} {
  const { dtype, context, head, inner } = given;
  const shape: Shape = { ...given, name: 'random' };
  const random = makeRandom(head * 1000 + inner);
  const parts = tensorsOf(shape).map(({ shape: dims }) => {
    const [, columns] = dims;
    const values = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () =>
      columns === undefined ? 1 + 0.1 * random() : random() * Math.sqrt(3 / columns),
    );
    return stored(values, dtype);
  });
  const folder = temporaryFolder();
  writeFileSync(
    join(folder, 'model.safetensors'),
    Buffer.concat([headerOf(shape, dtype), ...parts]),
  );
  const config = { ...configOf(shape), max_position_embeddings: context };
  return { folder, bound: modelOf(config) };
}
