/** A GGUF file as a model and its checkpoint. */
import { dirname } from 'node:path';
import { CheckpointError } from '../base/failure.ts';
import type { BoundModel } from '../index.ts';
import type { Checkpoint } from '../8-bundle/checkpoint.ts';
import { type Files, joinFile } from '../8-bundle/files.ts';
import { readGguf } from '../8-bundle/gguf.ts';
import type { TensorEntry } from '../8-bundle/safetensors.ts';
import { numbersOf, readTensor } from '../8-bundle/tensor.ts';
import { ranges } from '../../stdlib/families/config.ts';
import { ggufModel, ropeDivisors } from '../../stdlib/gguf/model.ts';
import { ggufTokenizer } from '../../stdlib/gguf/tokenizer.ts';
import { ggmlTypes, int8 } from '../../stdlib/precision/index.ts';

/** Throws CheckpointError where the file is damaged, ConfigError where no family reads it. */
export async function openGguf(
  files: Files,
  path: string,
): Promise<{ readonly bound: BoundModel; readonly checkpoint: Checkpoint }> {
  const { metadata, tensors: stored } = await readGguf(files, path, ggmlTypes);
  const divisors = stored.get(ropeDivisors);
  const { bound, rename, pairedHeads } = ggufModel({
    file: path,
    metadata,
    shapes: new Map([...stored].map(([name, t]) => [name, t.shape])),
    ...(divisors ? { divisors: await readFloats(files, divisors) } : {}),
  });
  const tensors = new Map<string, TensorEntry>();
  const add = (name: string, t: TensorEntry): void => {
    if (tensors.has(name)) {
      throw new CheckpointError('checkpoint/duplicate', `${path}: two tensors are ${name}`);
    }
    tensors.set(name, t);
  };
  for (const [name, t] of stored) {
    if (name === ropeDivisors) continue;
    const own = rename(name);
    const heads = pairedHeads(name);
    if (own.stacked) sliced(name, t).forEach((part, i) => add(own.name.replace('*', `${i}`), part));
    else add(own.name, heads === undefined ? t : { ...t, rows: { kind: 'paired', heads } });
  }
  const folder = dirname(path);
  const beside = (await files.size(joinFile(folder, 'tokenizer.json'))) !== undefined;
  const own = beside ? {} : { texts: ggufTokenizer(path, metadata) };
  // Codes are multiplied with codes, as the programs do that these files are made for.
  const quantised = { ...bound, activations: int8(32) }.with();
  return { bound: quantised, checkpoint: { folder, tensors, ...own } };
}

/** One tensor for each index of the first axis: they follow each other in the file. */
function sliced(name: string, t: TensorEntry): readonly TensorEntry[] {
  const [count = 0, ...shape] = t.shape;
  if (count > ranges.experts.max) {
    throw new CheckpointError(
      'checkpoint/shape',
      `${t.file}: ${name} has ${count} experts; at most ${ranges.experts.max}`,
    );
  }
  const bytes = t.bytes / count;
  return Array.from({ length: count }, (_, i) => ({ ...t, shape, offset: t.offset + i * bytes, bytes })); // prettier-ignore
}

async function readFloats(files: Files, t: TensorEntry): Promise<readonly number[]> {
  if (t.dtype !== 'F32' || t.scheme) {
    throw new CheckpointError('checkpoint/type', `${t.file}: ${ropeDivisors} is not of F32`);
  }
  return [...numbersOf(await readTensor(files, ropeDivisors, t), t, 'f32', 'f32')];
}
