/** The version in the package's own package.json, from the sources as from `dist`. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export function version(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) {
    folder = dirname(folder);
  }
  const json: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return typeof json === 'object' && json !== null && 'version' in json
    ? String(json.version)
    : 'unknown';
}
