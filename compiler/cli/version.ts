/** What the package says of itself in its package.json, from the sources as from `dist`. */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of this package. */
export function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) {
    folder = dirname(folder);
  }
  return folder;
}

interface PackageJson {
  readonly version?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const packageJson = (): PackageJson =>
  // The package's own file.
  JSON.parse(readFileSync(join(packageFolder(), 'package.json'), 'utf8')) as PackageJson;

export const version = (): string => packageJson().version ?? 'unknown';

/** Tells this build from others of its version: when the newest of its own files was written. */
export function buildOf(): string {
  const own = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
  const times = ['compiler', 'runtime', 'stdlib'].flatMap((folder) =>
    readdirSync(join(own, folder), { recursive: true, encoding: 'utf8' }).map(
      (file) => statSync(join(own, folder, file)).mtimeMs,
    ),
  );
  return `${version()} ${times.length} ${times.reduce((a, b) => Math.max(a, b), 0)}`;
}

/** The version of an optional dependency, one that npm installs or one that it does not, that this package is made for. */
export function versionOfOptional(name: string): string {
  const { optionalDependencies, peerDependencies } = packageJson();
  const found = optionalDependencies?.[name] ?? peerDependencies?.[name];
  if (found === undefined) throw new Error(`package.json names no ${name}`);
  return found;
}
