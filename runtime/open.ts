/** Opens a bundle where it is called: on a thread of Node, in a worker, or in a page that asks for that. */
import type { ExecutorOptions } from './device.ts';
import { type BundleFiles, openFiles } from './files.ts';
import { type LoadedModel, makeModel } from './model.ts';
import type { LoadOptions } from './options.ts';
import { openExecutor } from './targets.ts';
import { type Tokenizer, type TokenizerFiles, makeTokenizer } from './tokenizer.ts';

/** A model, and the files that its tokenizer was made of. */
export interface Opened {
  readonly model: LoadedModel;
  readonly tokenizerFiles: TokenizerFiles | undefined;
}

export const openHere = async (place: string | URL, options: LoadOptions): Promise<LoadedModel> =>
  (await openAll(place, options)).model;

export async function openAll(place: string | URL, options: LoadOptions): Promise<Opened> {
  const files = await openFiles(place, options);
  const { manifest } = files;
  // Threads start and weights are mapped while the tokenizer is made.
  const opening = openExecutor(files, sizesOf(manifest.model.context, options), options);
  opening.catch(() => undefined); // told below, once the tokenizer is made
  try {
    const tokenizerFiles = await readTokenizer(files);
    const tokenizer = tokenizerFiles && makeTokenizer(tokenizerFiles);
    const { executor, passedOver } = await opening;
    const facts = { name: manifest.name, eos: manifest.model.eos, manifest, passedOver };
    return { model: makeModel(executor, facts, tokenizer), tokenizerFiles };
  } catch (e) {
    const opened = await opening.catch(() => undefined);
    opened?.executor.close();
    throw e;
  }
}

/** The sizes of an executor: what the caller gave, else what suits the model and the machine. */
export function sizesOf(modelContext: number | undefined, o: LoadOptions): ExecutorOptions {
  const cores = globalThis.navigator?.hardwareConcurrency ?? coresOfNode() ?? 1;
  const context = o.context ?? Math.min(modelContext ?? 4096, 4096);
  return {
    threads: o.threads ?? Math.min(cores, 8),
    context,
    capacity: Math.max(o.capacity ?? 2 * context, context),
    sequences: o.sequences ?? 8,
  };
}

/** Node 20 has no navigator; its own count of cores is asked for without importing it in browsers. */
function coresOfNode(): number | undefined {
  if (typeof process === 'undefined') return undefined;
  const os = process.getBuiltinModule?.('node:os');
  return os?.availableParallelism();
}

export async function tokenizerOf(files: BundleFiles): Promise<Tokenizer | undefined> {
  const read = await readTokenizer(files);
  return read && makeTokenizer(read);
}

async function readTokenizer(files: BundleFiles): Promise<TokenizerFiles | undefined> {
  const { tokenizer, model } = files.manifest;
  if (!tokenizer) return undefined;
  const text = async (path: string | undefined): Promise<string | undefined> =>
    path === undefined ? undefined : new TextDecoder().decode(await files.read(path));
  const [rules, config, chatTemplate, vocabulary] = await Promise.all([
    text(tokenizer.rules ?? tokenizer.file),
    text(tokenizer.config),
    text(tokenizer.chatTemplate),
    tokenizer.vocabulary === undefined ? undefined : files.read(tokenizer.vocabulary),
  ]);
  return { tokenizer: rules ?? '', vocabulary, config, chatTemplate, bos: model.bos };
}
