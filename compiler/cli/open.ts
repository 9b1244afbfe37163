/** A subject as a model that runs, on the target asked for. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { present } from '../base/invariant.ts';
import { TargetError } from '../base/failure.ts';
import { compile, compileGraph } from '../compile.ts';
import type { CachedType } from '../2-model/effects.ts';
import { nativeVariants } from '../7-emit/native.ts';
import type { BundleSource } from '../8-bundle/bundle.ts';
import { type Checkpoint, readCompanion } from '../8-bundle/checkpoint.ts';
import type { BoundModel } from '../index.ts';
import { type LoadOptions, load } from '../../runtime/load.ts';
import { type LoadedModel, makeModel } from '../../runtime/model.ts';
import { sizesOf } from '../../runtime/open.ts';
import { type Tokenizer, makeTokenizer } from '../../runtime/tokenizer.ts';
import type { Console } from './console.ts';
import { UsageError } from './errors.ts';
import { openNativeTools } from './native-tools.ts';
import { nodeFiles } from './node-files.ts';
import { openReference, readWeights } from './reference-device.ts';
import { openSubject } from './subject.ts';
import { version } from './version.ts';

export interface OpenOptions extends LoadOptions {
  readonly checkpoint?: string;
  /** What caches hold that no sheet speaks of. */
  readonly kv?: CachedType;
}

export const targets = ['auto', 'native', 'wasm', 'reference'] as const;

/**
 * Loads a bundle, or compiles a model into a folder that does not outlive loading, and loads that: for
 * wasm unless native code, which takes seconds to make, is asked for.
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
    const bar = console.progress('compiling');
    const bundle = join(folder, 'bundle');
    const source = target === 'native' ? await nativeHere(options.signal) : {};
    await compile(bound, checkpoint, { compiler: version(), ...source }, nodeFiles, bundle, {
      target: target === 'auto' ? 'wasm' : target,
      onStep: bar.step,
      onProgress: bar.update,
      ...(options.signal ? { signal: options.signal } : {}),
    });
    bar.end('compiled');
    return await loadWith(bundle, options, console);
  } finally {
    await rm(folder, { recursive: true, force: true }).catch((e: unknown) => {
      // There a library that is loaded stays.
      if (process.platform !== 'win32') throw e;
    });
  }
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
