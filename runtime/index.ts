/**
 * The runtime's public door.
 *
 * ```ts
 * import { load } from 'cograph/runtime';
 * const model = await load('./dist/bard');
 * for await (const part of model.generate('To be, or', { maxTokens: 64 })) process.stdout.write(part.text);
 * ```
 */
export { type LoadOptions, load } from './load.ts';
export type { Notice, OnProgress, ShardProgress } from './options.ts';
export { type CachedBundle, cachedBundles, clearCache } from './store/keeper.ts';
export type { LoadedModel, Sequence } from './model.ts';
export type { Finish, GenerateOptions, Part, Prompt, Timings, TokenLogprob } from './generate.ts';
export type { SampleOptions } from './sampler.ts';
export type { Message, Tokenizer } from './tokenizer.ts';
export type { Executor, ExecutorLimits, ExecutorOptions, PassedOver, StepBatch } from './device.ts';
export type { Manifest } from './manifest.ts';
export { BundleError, CographError, DeviceError, InputError } from './errors.ts';
