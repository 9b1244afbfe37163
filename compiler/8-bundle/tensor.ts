/** One tensor of a checkpoint as the model wants it. */
import { CheckpointError } from '../base/failure.ts';
import type { DType } from '../base/type.ts';
import { decodeMatrix } from '../scalar/quantise.ts';
import { converted } from './convert.ts';
import type { Files } from './files.ts';
import { toDoubles } from './pack.ts';
import type { RowOrder, TensorEntry } from './safetensors.ts';

/** Its bytes, rows in the model's order. Throws CheckpointError where the file ends before. */
export async function readTensor(files: Files, name: string, t: TensorEntry): Promise<Uint8Array> {
  const stored = await files.read(t.file, t.offset, t.bytes);
  if (stored.byteLength !== t.bytes) {
    throw new CheckpointError('checkpoint/truncated', `${t.file} ended inside ${name}`);
  }
  return t.rows ? inOrder(stored, t.rows, name, t) : stored;
}

/**
 * Its numbers as the model stores them, row-major, those of a quantised tensor decoded; `from`: what
 * the file's numbers are.
 */
export function plainBytes(stored: Uint8Array, t: TensorEntry, from: DType, to: DType): Uint8Array {
  if (!t.scheme) return converted(stored, from, to);
  const k = t.shape.at(-1) ?? 1;
  const n = t.shape.slice(0, -1).reduce((a, b) => a * b, 1);
  const exact = decodeMatrix(t.scheme, { blocks: stored }, { n, k });
  return converted(new Uint8Array(new Float32Array(exact).buffer), from, to);
}

/** The same numbers in double precision. */
export const numbersOf = (
  stored: Uint8Array,
  t: TensorEntry,
  from: DType,
  to: DType,
): Float64Array => toDoubles(plainBytes(stored, t, from, to), to);

function inOrder(
  stored: Uint8Array,
  { heads }: RowOrder,
  name: string,
  t: TensorEntry,
): Uint8Array {
  const rows = t.shape[0] ?? 0;
  const perHead = rows / heads;
  if (perHead % 2 !== 0) {
    throw new CheckpointError(
      'checkpoint/shape',
      `${t.file}: ${name} has ${rows} rows, no even number for each of ${heads} heads`,
    );
  }
  const bytes = stored.byteLength / rows;
  const out = new Uint8Array(stored.byteLength);
  for (let i = 0; i < rows; i++) {
    const [head, row] = [Math.floor(i / perHead), i % perHead];
    const half = Math.floor(row / (perHead / 2));
    const from = head * perHead + 2 * (row - half * (perHead / 2)) + half;
    out.set(stored.subarray(from * bytes, (from + 1) * bytes), i * bytes);
  }
  return out;
}
