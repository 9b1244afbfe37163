/** Files of this machine for the workspace; texts that an editor holds stand before those on disk. */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host } from '../editor/workspace.ts';
import { UsageError } from './errors.ts';

export const scriptEndings = ['.ts', '.mts', '.tsx', '.js', '.mjs', '.jsx'];

/** The library beside this compiler: TypeScript in a checkout, JavaScript in the package. */
const library = fileURLToPath(
  new URL(`../../stdlib/index${extname(import.meta.url)}`, import.meta.url),
);

export interface Held {
  readonly text: string;
  readonly version: unknown;
}

export function makeHost(held: (path: string) => Held | undefined = () => undefined): Host {
  return {
    read(path) {
      const own = held(path);
      if (own) return own;
      try {
        const { mtimeMs, size } = statSync(path);
        return { text: readFileSync(path, 'utf8'), version: `${mtimeMs} ${size}` };
      } catch {
        return undefined;
      }
    },
    resolve(specifier, from) {
      if (specifier === 'cograph/stdlib') return library;
      if (!specifier.startsWith('.')) return undefined;
      const path = resolve(dirname(from), specifier);
      const written = path.replace(/\.([cm]?)js(x?)$/, '.$1ts$2');
      const tried = [path, written, ...scriptEndings.map((e) => path + e), join(path, 'index.ts')];
      return tried.find((p) => held(p) !== undefined || isFile(p));
    },
  };
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    // Nothing there, or no path at all: an import being typed may hold any character.
    return false;
  }
}

/** Folders that are not looked into. */
const left: readonly string[] = ['node_modules', 'dist'];

/**
 * The scripts that a user names, those in folders included. Throws UsageError where one is missing,
 * is no script, or is a folder without any.
 */
export function scriptsNamed(places: readonly string[]): readonly string[] {
  const paths = places.flatMap((place) => {
    const path = resolve(place);
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found) throw new UsageError('usage/missing', `${place}: there is no such file or folder`);
    const endings = scriptEndings.join(', ');
    if (!found.isDirectory()) {
      if (scriptEndings.includes(extname(path))) return [path];
      throw new UsageError('usage/kind', `${place}: expected a file with templates (${endings})`);
    }
    const inside = scriptsUnder(path);
    if (inside.length > 0) return inside;
    throw new UsageError(
      'usage/empty',
      `${place}: no file with templates in this folder (${endings}; ${left.join(' and ')} are left out)`,
    );
  });
  return [...new Set(paths)];
}

/** Files with a script's ending; folders give those in them, packages and build folders left out. */
export function scriptsUnder(path: string): readonly string[] {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const own = join(path, entry.name);
    if (entry.isDirectory()) {
      return left.includes(entry.name) || entry.name.startsWith('.') ? [] : scriptsUnder(own);
    }
    return scriptEndings.includes(extname(entry.name)) && !entry.name.endsWith('.d.ts')
      ? [own]
      : [];
  });
}
