/** A subject as a model that runs, on the target asked for. */
import { constants } from 'node:fs';
import { access, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { present } from '../base/invariant.ts';
import { TargetError } from '../base/failure.ts';
import { compile, compileGraph } from '../compile.ts';
import type { CachedType } from '../2-model/effects.ts';
import { nativeVariants } from '../7-emit/native.ts';
import type { BundleSource } from '../8-bundle/bundle.ts';
import { type Checkpoint, readCompanion } from '../8-bundle/checkpoint.ts';
import type { BoundModel } from '../index.ts';
import { BundleError } from '../../runtime/errors.ts';
import { type LoadOptions, load } from '../../runtime/load.ts';
import { type LoadedModel, makeModel } from '../../runtime/model.ts';
import { sizesOf } from '../../runtime/open.ts';
import { type Tokenizer, makeTokenizer } from '../../runtime/tokenizer.ts';
import { openBundleCache } from './bundle-cache.ts';
import type { Console } from './console.ts';
import { UsageError } from './errors.ts';
import { wantedBundle } from './kept.ts';
import { openNativeTools } from './native-tools.ts';
import { nodeFiles } from './node-files.ts';
import { openReference, readWeights } from './reference-device.ts';
import { isGguf, openSubject } from './subject.ts';
import { version } from './version.ts';

export interface OpenOptions extends LoadOptions {
  readonly checkpoint?: string;
  /** What caches hold that no sheet speaks of. */
  readonly kv?: CachedType;
  /** Keeps what is made of a GGUF file for the next time. */
  readonly cache?: boolean;
}

export const targets = ['auto', 'native', 'webgpu', 'wasm', 'reference'] as const;

/**
 * Loads a bundle, or compiles a model into a folder that does not outlive loading, and loads that: for
 * wasm unless native code, which takes seconds to make, is asked for. With `cache` the bundle of a GGUF
 * file is kept.
 */
export async function openModel(
  place: string,
  options: OpenOptions,
  console: Console,
): Promise<LoadedModel> {
  const target = options.target ?? 'auto';
  if (!targets.some((t) => t === target)) {
    throw new TargetError(
      'target/unknown',
      `no target ${target} to run on; there are ${targets.join(', ')}`,
    );
  }
  if (options.cache === true && target !== 'reference' && isGguf(place)) {
    const kept = await openKept(place, options, console);
    if (kept) return kept;
  }
  const subject = await openSubject(place, options);
  if (subject.kind === 'bundle') {
    if (target === 'reference') {
      throw new TargetError(
        'target/bundle',
        'a bundle holds no reference program: give the model file or the Hugging Face folder it was made of',
      );
    }
    if (options.kv !== undefined) {
      throw new UsageError('usage/kv', `${place} is a bundle: its cache is as it was compiled`);
    }
    return loadWith(subject.place, options, console);
  }
  const { checkpoint } = subject;
  const bound = withCache(subject.bound, options.kv);
  if (target === 'reference') return interpreted(bound, checkpoint, options, console);
  const folder = await mkdtemp(join(tmpdir(), 'cograph-'));
  try {
    const bundle = join(folder, 'bundle');
    await compileInto(bundle, bound, checkpoint, options, console);
    return await loadWith(bundle, options, console);
  } finally {
    await rm(folder, { recursive: true, force: true }).catch((e: unknown) => {
      // There a library that is loaded stays.
      if (process.platform !== 'win32') throw e;
    });
  }
}

async function compileInto(
  bundle: string,
  bound: BoundModel,
  checkpoint: Checkpoint,
  { target, signal }: OpenOptions,
  console: Console,
): Promise<void> {
  const bar = console.progress('compiling');
  const source = target === 'native' ? await nativeHere(signal) : {};
  await compile(bound, checkpoint, { compiler: version(), ...source }, nodeFiles, bundle, {
    target: compiledFor(target),
    onStep: bar.step,
    onProgress: bar.update,
    ...(signal ? { signal } : {}),
  });
  bar.end('compiled');
}

const compiledFor = (target = 'auto'): string => (target === 'auto' ? 'wasm' : target);

/**
 * The model of a GGUF file from its bundle in the cache, made and kept there if it is not; undefined where
 * there is no such file, and where nothing can be kept.
 */
async function openKept(
  place: string,
  options: OpenOptions,
  console: Console,
): Promise<LoadedModel | undefined> {
  const { target, kv } = options;
  const wanted = await wantedBundle(resolve(place), { target: compiledFor(target), kv });
  if (!wanted) return undefined;
  const cache = openBundleCache();
  const { key } = wanted;
  const found = await cache.find(key);
  if (found !== undefined) {
    console.note(`compiled before: ${found}`);
    try {
      return await loadWith(found, options, console);
    } catch (e) {
      if (!(e instanceof BundleError)) throw e;
      console.note(`${e.message}: it is compiled again`);
      await cache.remove(key);
    }
  }
  const refused = await mkdir(cache.folder, { recursive: true }).then(
    () => access(cache.folder, constants.W_OK).catch((e: unknown) => String(e)),
    (e: unknown) => String(e),
  );
  if (refused !== undefined) {
    console.note(`what is compiled is not kept: ${refused}`);
    return undefined;
  }
  const subject = await openSubject(place, options);
  if (subject.kind === 'bundle') return undefined;
  const bundle = await cache.keep(key, wanted, (folder) =>
    compileInto(folder, withCache(subject.bound, kv), subject.checkpoint, options, console),
  );
  return loadWith(bundle, options, console);
}

/** The model with caches of these elements where no sheet speaks of them; as it is for undefined. */
export const withCache = (bound: BoundModel, kv: CachedType | undefined): BoundModel =>
  kv === undefined ? bound : { ...bound, kv }.with();

/** What makes native code for this machine alone. Throws TargetError where tools are missing. */
async function nativeHere(signal: AbortSignal | undefined): Promise<Partial<BundleSource>> {
  const os = { linux: 'linux', darwin: 'macos', win32: 'windows' }[process.platform as string];
  const isArm = process.arch === 'arm64';
  const variants = nativeVariants.filter((v) => v.os === os && (v.isa === 'arm64') === isArm);
  return { native: await openNativeTools(signal), variants };
}

async function loadWith(
  place: string,
  options: LoadOptions,
  console: Console,
): Promise<LoadedModel> {
  const bar = console.progress('loading');
  const model = await load(place, { ...options, onProgress: bar.update });
  bar.end(`loaded ${model.name}, ${model.target} with ${model.threads} threads`);
  return model;
}

async function interpreted(
  bound: BoundModel,
  checkpoint: Checkpoint,
  options: LoadOptions,
  console: Console,
): Promise<LoadedModel> {
  const { graph, weights, model } = compileGraph(bound, checkpoint, { target: 'reference' });
  const bar = console.progress('reading weights');
  const reader = await readWeights(present(weights), checkpoint, nodeFiles, bar.update);
  bar.end('loaded for the reference interpreter');
  const executor = openReference(graph, reader, sizesOf(bound.context, options));
  const tokenizer = await tokenizerOf(bound, checkpoint);
  return makeModel(executor, { name: model.name, eos: bound.eos ?? [] }, tokenizer);
}

async function tokenizerOf(
  bound: BoundModel,
  checkpoint: Checkpoint,
): Promise<Tokenizer | undefined> {
  const text = async (name: string): Promise<string | undefined> => {
    const bytes = await readCompanion(nodeFiles, checkpoint, name);
    return bytes && new TextDecoder().decode(bytes);
  };
  const tokenizer = await text('tokenizer.json');
  if (tokenizer === undefined) return undefined;
  return makeTokenizer({
    tokenizer,
    config: await text('tokenizer_config.json'),
    chatTemplate: await text('chat_template.jinja'),
    bos: bound.bos,
  });
}
