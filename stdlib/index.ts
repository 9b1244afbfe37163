/** The language's library, written in the language. */
export { rmsNorm } from './norm/rms-norm.ts';
export { rope } from './attention/rope.ts';
export { type Rope, type RopeScaling, ropeFrequencies } from './attention/frequencies.ts';
export { gqa } from './attention/gqa.ts';
export { mla } from './attention/mla.ts';
export { mfa } from './attention/mfa.ts';
export { swiglu, swigluExpertList, swigluExperts } from './moe/swiglu.ts';
export { gatedShared } from './moe/shared.ts';
export { reglu, regluExperts } from './moe/reglu.ts';
export {
  biasedSigmoid,
  groupLimited,
  limitToGroups,
  softmaxThenTop,
  topThenSigmoid,
  topThenSoftmax,
} from './moe/routers.ts';
export { decoder } from './families/decoder.ts';
export type { Family } from './families/family.ts';
export { type ConfigReader, readConfig } from './families/config.ts';
export { families, modelOf } from './families/index.ts';
export * from './precision/index.ts';
export { fullCache, slidingCache } from './decode/kv.ts';
export { belady, lfu, lru, pinned } from './decode/experts.ts';
export { ngram } from './decode/speculation.ts';
export { draft } from './decode/draft.ts';
export { prefetch } from './decode/prefetch.ts';
export { parallelPaths } from './decode/paths.ts';
export { h100, h200 } from './hardware/nvidia.ts';
export { laptopCpu } from './hardware/laptop.ts';
export { phoneNpu } from './hardware/phone.ts';
export { x86Server } from './hardware/server.ts';
