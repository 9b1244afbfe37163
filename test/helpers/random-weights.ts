/** Checkpoints of random weights for models that have none. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constantDim } from '../../compiler/base/dim.ts';
import { makeLog } from '../../compiler/base/diagnostic.ts';
import { renderAll } from '../../compiler/base/render.ts';
import { checkModel } from '../../compiler/2-model/check.ts';
import { type Model, nameAt } from '../../compiler/2-model/model.ts';
import { weightsOf } from '../../compiler/2-model/weights.ts';
import type { BoundModel } from '../../compiler/index.ts';
import { temporaryFolder } from './models.ts';
import { makeRandom } from './random-checkpoint.ts';

export function checked(bound: BoundModel): Model {
  const log = makeLog();
  const found = checkModel(bound, log);
  if (!found) throw new Error(renderAll(log.diagnostics()));
  return found;
}

export type Numbers = readonly number[];

/** A checkpoint of random weights, but for those given by name. */
export function checkpointOf(bound: BoundModel, given: ReadonlyMap<string, Numbers>): string {
  const random = makeRandom(5);
  const header: Record<string, unknown> = {};
  const parts: Buffer[] = [];
  let offset = 0;
  for (const { weight, count } of weightsOf(checked(bound).body)) {
    for (let i = 0; i < count; i++) {
      const pattern = nameAt(weight.source, i);
      const whole = weight.type.shape.map((d) => constantDim(d) ?? NaN);
      const listed = pattern.includes('*');
      const shape = listed ? whole.slice(1) : whole;
      const size = shape.reduce((a, b) => a * b, 1);
      for (let n = 0; n < (listed ? (whole[0] ?? NaN) : 1); n++) {
        const name = pattern.replace('*', String(n));
        const own = given.get(name);
        const data = Float32Array.from({ length: size }, (_, e) => own?.[e] ?? random() / 2);
        parts.push(Buffer.from(data.buffer));
        header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + 4 * size] };
        offset += 4 * size;
      }
    }
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([length, text, ...parts]));
  return folder;
}
