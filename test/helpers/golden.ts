/** Goldens as the reference implementations wrote them, read without the compiler's own reader. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const fixture = (path: string): string =>
  fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));

export const example = (path: string): string =>
  fileURLToPath(new URL(`../../examples/${path}`, import.meta.url));

/** The families whose logits are known. */
export const goldenNames = [
  'llama',
  'mistral_swa',
  'qwen2',
  'qwen3',
  'step3',
  'smallthinker_21b',
  'smallthinker_4b',
  'deepseek_v2',
  'deepseek_v3',
  'qwen3_moe',
  'mixtral',
] as const;

export interface Golden {
  readonly prompt: readonly number[]; // [T]
  /** Teacher-forced, row by row. */
  readonly logits: readonly Float32Array[]; // [T][V]
  /** Continuation of the prompt by argmax; absent from the trained models' files. */
  readonly greedy: readonly number[];
}

/** Reads `golden.safetensors` of a folder. */
export function readGolden(folder: string): Golden {
  const tensors = readTensors(`${folder}/golden.safetensors`);
  const ints = (name: string): readonly number[] => {
    const tensor = tensors.get(name);
    return tensor ? [...new Int32Array(tensor.bytes)] : [];
  };
  const logits = tensors.get('logits');
  if (!logits) throw new Error(`${folder} has no logits`);
  const [rows = 0, width = 0] = logits.shape;
  const values = new Float32Array(logits.bytes);
  return {
    prompt: ints('prompt'),
    greedy: ints('greedy'),
    logits: Array.from({ length: rows }, (_, r) => values.slice(r * width, (r + 1) * width)),
  };
}

interface Raw {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: ArrayBuffer;
}

function readTensors(path: string): ReadonlyMap<string, Raw> {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [from, to],
          },
        ]) => {
          const copy = new Uint8Array(file.subarray(start + from, start + to));
          return [name, { dtype, shape, bytes: copy.buffer }];
        },
      ),
  );
}

export const readJson = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));

/** Standard deviation of all logits of a golden. */
export function deviationOf(logits: readonly Float32Array[]): number {
  const all = logits.flatMap((row) => [...row]);
  const mean = all.reduce((a, b) => a + b, 0) / all.length;
  return Math.sqrt(all.reduce((sum, v) => sum + (v - mean) ** 2, 0) / all.length);
}

/** Largest |a - b| over all rows; Infinity where a value is not a number or a row is missing. */
export function maxError(a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]): number {
  if (a.length !== b.length) return Infinity;
  let worst = 0;
  for (const [r, row] of a.entries()) {
    const other = b[r];
    if (!other || other.length !== row.length) return Infinity;
    for (let i = 0; i < row.length; i++) {
      const error = Math.abs((row[i] ?? NaN) - (other[i] ?? NaN));
      if (!(error <= worst)) worst = Number.isNaN(error) ? Infinity : error;
    }
  }
  return worst;
}

/** Position of the largest value, the first of equal ones. */
export function argmax(row: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if ((row[i] ?? NaN) > (row[best] ?? NaN)) best = i;
  return best;
}
