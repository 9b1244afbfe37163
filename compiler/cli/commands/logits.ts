import { rename, rm, writeFile } from 'node:fs/promises';
import { writeSafetensors } from '../../8-bundle/safetensors.ts';
import { openModel } from '../open.ts';
import { type Context, type RunFlags, runOptions } from './context.ts';
import { readIds } from './ids.ts';

export interface LogitsFlags extends RunFlags {
  readonly ids: string;
  readonly out: string;
}

/** `cograph logits`: teacher-forced logits of every position, tensor `logits` [T, V] f32. */
export async function logitsCommand(
  place: string,
  flags: LogitsFlags,
  { console, json, signal }: Context,
): Promise<unknown> {
  const ids = await readIds(flags.ids);
  const model = await openModel(place, runOptions(flags, signal), console);
  try {
    const rows = await model.logits(ids);
    const data = new Float32Array(rows.length * model.vocab);
    rows.forEach((row, r) => data.set(row, r * model.vocab));
    const shape = [rows.length, model.vocab];
    const partial = `${flags.out}.partial-${process.pid}`;
    try {
      await writeFile(partial, writeSafetensors([{ name: 'logits', shape, data }]));
      await rename(partial, flags.out);
    } finally {
      await rm(partial, { force: true });
    }
    if (!json) console.note(`wrote logits [${shape.join(', ')}] to ${flags.out}`);
    return { out: flags.out, shape };
  } finally {
    model.close();
  }
}
