import { readFile } from 'node:fs/promises';
import { UsageError } from '../errors.ts';

/** A file that must be there and be text. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (e) {
    const why =
      e instanceof Error && 'code' in e && e.code === 'ENOENT' ? 'no such file' : String(e);
    throw new UsageError('usage/file', `${path}: ${why}`);
  }
}

/** Token ids from a file: a JSON array of whole numbers. Ranges are checked where the model is known. */
export async function readIds(path: string): Promise<readonly number[]> {
  const text = await readText(path);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (e) {
    throw new UsageError('usage/ids', `${path} is no JSON: ${String(e)}`);
  }
  if (Array.isArray(json) && json.length > 0 && json.every(isId)) return json;
  throw new UsageError(
    'usage/ids',
    `${path}: expected an array of token ids, such as [0, 304, 348]`,
  );
}

const isId = (x: unknown): x is number => typeof x === 'number' && Number.isInteger(x);
