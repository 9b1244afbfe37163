/** Everything that the files of `compiler/ops` export and that is an op record. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../compiler/ops/', import.meta.url));

const isObject = (v: unknown): v is object => typeof v === 'object' && v !== null;
const isRecord = (v: unknown): boolean =>
  isObject(v) && 'infer' in v && 'evaluate' in v && 'lower' in v;

/** By name: records that a file exports, alone or as members of an object of records. */
export async function opRecords(): Promise<ReadonlyMap<string, unknown>> {
  const out = new Map<string, unknown>();
  for (const file of readdirSync(folder)) {
    if (file === 'index.ts') continue;
    const exported: unknown = await import(`${folder}${file}`);
    for (const [name, value] of isObject(exported) ? Object.entries(exported) : []) {
      if (isRecord(value)) out.set(name, value);
      else if (isObject(value)) {
        for (const [inner, v] of Object.entries(value)) if (isRecord(v)) out.set(inner, v);
      }
    }
  }
  return out;
}
