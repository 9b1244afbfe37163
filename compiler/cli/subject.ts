/** What a command is about: a bundle, a Hugging Face folder, a GGUF file, or a script with a model. */
import { stat } from 'node:fs/promises';
import { dirname, extname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ConfigError } from '../base/failure.ts';
import type { BoundModel } from '../index.ts';
import { type SheetSource, isSheet, isTemplate } from '../1-syntax/template.ts';
import { type Checkpoint, readCheckpoint, withAdapters } from '../8-bundle/checkpoint.ts';
import { readAll } from '../8-bundle/files.ts';
import { modelOf, withGeneration } from '../../stdlib/families/index.ts';
import { UsageError } from './errors.ts';
import { openGguf } from './gguf.ts';
import { nodeFiles } from './node-files.ts';

export type Subject =
  | { readonly kind: 'bundle'; readonly place: string }
  | { readonly kind: 'model'; readonly bound: BoundModel; readonly checkpoint: Checkpoint };

const isUrl = (text: string): boolean => /^https?:\/\//.test(text);
export const isGguf = (path: string): boolean => extname(path).toLowerCase() === '.gguf';
const scripts = ['.ts', '.mts', '.js', '.mjs'];

/** Throws UsageError where `place` is nothing of the kind, and whatever reading it throws. */
export async function openSubject(
  place: string,
  options: { readonly checkpoint?: string } = {},
): Promise<Subject> {
  if (isUrl(place)) return { kind: 'bundle', place };
  const path = resolve(place);
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new UsageError('usage/missing', `${place}: there is no such file or folder`);
  if (found.isFile() && isGguf(path)) {
    return { kind: 'model', ...(await openGguf(nodeFiles, path)) };
  }
  if (found.isFile()) return { kind: 'model', ...(await openScript(path, options.checkpoint)) };
  if ((await nodeFiles.size(join(path, 'manifest.json'))) !== undefined) {
    return { kind: 'bundle', place: path };
  }
  if ((await nodeFiles.size(join(path, 'config.json'))) === undefined) {
    throw new UsageError(
      'usage/folder',
      `${place}: neither a bundle (it has no manifest.json) nor a Hugging Face folder (it has no config.json)`,
    );
  }
  const bound = await openFamily(path);
  return { kind: 'model', bound, checkpoint: await readCheckpoint(nodeFiles, path) };
}

/** A model to read, with its checkpoint where there is one: a model needs no weights to be read. */
export interface Readable {
  readonly bound: BoundModel;
  readonly checkpoint: Checkpoint | undefined;
}

/** Throws UsageError where `place` holds no model, or `options.checkpoint` no weights. */
export async function openReadable(
  place: string,
  options: { readonly checkpoint?: string } = {},
): Promise<Readable> {
  const path = resolve(place);
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new UsageError('usage/missing', `${place}: there is no such file or folder`);
  if (found.isFile() && isGguf(path)) return openGguf(nodeFiles, path);
  if (found.isFile()) {
    const bound = await importModel(path);
    const adapters = adaptersOf(bound, path);
    if (options.checkpoint !== undefined) {
      return { bound, checkpoint: await weightsAt(resolve(options.checkpoint), adapters) };
    }
    const folder = checkpointOf(bound, path);
    const checkpoint = folder === undefined ? undefined : await weightsIn(folder, adapters);
    return { bound, checkpoint };
  }
  if ((await nodeFiles.size(join(path, 'config.json'))) === undefined) {
    throw new UsageError(
      'usage/model',
      `${place}: a model to read is a model file or a Hugging Face folder (it has no config.json)`,
    );
  }
  return { bound: await openFamily(path), checkpoint: await weightsIn(path) };
}

/** Of a Hugging Face folder or a GGUF file, whatever model that is of. */
async function weightsAt(place: string, adapters: readonly string[]): Promise<Checkpoint> {
  if (!isGguf(place)) return readCheckpoint(nodeFiles, place, adapters);
  const { checkpoint } = await openGguf(nodeFiles, place);
  return withAdapters(nodeFiles, checkpoint, adapters);
}

async function weightsIn(
  folder: string,
  adapters: readonly string[] = [],
): Promise<Checkpoint | undefined> {
  if (isGguf(folder)) {
    const has = (await nodeFiles.size(folder)) !== undefined;
    return has ? weightsAt(folder, adapters) : undefined;
  }
  const files = ['model.safetensors.index.json', 'model.safetensors'];
  const sizes = await Promise.all(files.map((f) => nodeFiles.size(join(folder, f))));
  return sizes.some((s) => s !== undefined)
    ? readCheckpoint(nodeFiles, folder, adapters)
    : undefined;
}

async function openFamily(folder: string): Promise<BoundModel> {
  const bound = modelOf(await readJson(join(folder, 'config.json')));
  const generation = join(folder, 'generation_config.json');
  const has = (await nodeFiles.size(generation)) !== undefined;
  return has ? withGeneration(bound, await readJson(generation)) : bound;
}

async function readJson(path: string): Promise<unknown> {
  const text = new TextDecoder().decode(await readAll(nodeFiles, path));
  try {
    return JSON.parse(text);
  } catch (e) {
    throw new ConfigError('config/json', `${path} is no JSON: ${String(e)}`);
  }
}

async function openScript(
  path: string,
  given: string | undefined,
): Promise<{ readonly bound: BoundModel; readonly checkpoint: Checkpoint }> {
  const bound = await importModel(path);
  const place = given === undefined ? checkpointOf(bound, path) : resolve(given);
  if (place === undefined) {
    throw new UsageError(
      'usage/checkpoint',
      `${path} names no checkpoint: give one with --checkpoint PLACE, a folder or a GGUF file, or bind(model, { checkpoint })`,
    );
  }
  return { bound, checkpoint: await weightsAt(place, adaptersOf(bound, path)) };
}

/** The sheets that a file exports, in order. Throws UsageError where there are none. */
export async function importSheets(path: string): Promise<readonly SheetSource[]> {
  const module = await importScript(resolve(path));
  const sheets = Object.values(module).flat().filter(isSheet);
  if (sheets.length > 0) return sheets;
  throw new UsageError(
    'usage/sheet',
    `${path} exports no sheet; write export const small = precision\`...\``,
  );
}

/** The default export of a model file; TypeScript is compiled on the way. Throws UsageError. */
export async function importModel(path: string): Promise<BoundModel> {
  const value = (await importScript(path))['default'];
  if (isBound(value)) return value;
  throw new UsageError(
    'usage/export',
    `${path}: its default export is no model; end the file with export default bind(model, { ... })`,
  );
}

async function importScript(path: string): Promise<Readonly<Record<string, unknown>>> {
  if (!scripts.includes(extname(path))) {
    throw new UsageError(
      'usage/kind',
      `${path}: expected a bundle, a Hugging Face folder, a GGUF file, or a model file (${scripts.join(', ')})`,
    );
  }
  const { register } = await import('tsx/esm/api');
  const unregister = register();
  try {
    const module: unknown = await import(pathToFileURL(path).href);
    return isRecord(module) ? module : {};
  } catch (e) {
    const found = needsModules(e) ? await packageOf(path) : undefined;
    if (!found || found.isModule) throw e;
    throw new UsageError(
      'usage/module',
      `${path}: this package holds CommonJS and cograph is made of modules: put "type": "module" into ${found.file}, or give the file the ending .mts`,
    );
  } finally {
    await unregister();
  }
}

/** What Node and tsx say of modules that are loaded as CommonJS. */
const needsModules = (e: unknown): boolean =>
  e instanceof Error &&
  'code' in e &&
  ['ERR_REQUIRE_ESM', 'ERR_REQUIRE_CYCLE_MODULE', 'ERR_PACKAGE_PATH_NOT_EXPORTED'].some(
    (code) => code === e.code,
  );

/** The package.json that says how the script at `path` is loaded, be it there or not. */
async function packageOf(
  path: string,
): Promise<{ readonly file: string; readonly isModule: boolean }> {
  const own = join(dirname(path), 'package.json');
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if ((await nodeFiles.size(file)) !== undefined) {
      const json = await readJson(file);
      return { file, isModule: isRecord(json) && json['type'] === 'module' };
    }
    if (dirname(folder) === folder) return { file: own, isModule: false };
  }
}

const checkpointOf = ({ checkpoint }: BoundModel, path: string): string | undefined =>
  checkpoint === undefined ? undefined : folderOf(checkpoint, path);

const adaptersOf = ({ adapters = [] }: BoundModel, path: string): readonly string[] =>
  adapters.map((a) => folderOf(a, path));

/** A folder that the model file at `path` names, relative to itself. */
function folderOf(folder: URL | string, path: string): string {
  if (folder instanceof URL || folder.startsWith('file:')) return fileURLToPath(folder);
  return isAbsolute(folder) ? folder : join(dirname(path), folder);
}

const isRecord = (v: unknown): v is Readonly<Record<string, unknown>> =>
  typeof v === 'object' && v !== null;

const isBound = (v: unknown): v is BoundModel => isRecord(v) && isTemplate(v['template']);
