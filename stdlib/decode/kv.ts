/** What becomes of the KV cache as a sequence grows. */
import { type Policy, definePolicy } from '../../compiler/index.ts';

/** Every entry stays. */
export const fullCache: Policy = definePolicy({
  name: 'full',
  concern: 'kv',
  params: {},
  ranges: {},
  needs: ['attention'],
});

/**
 * The last `size` entries and the first `sinks` stay (Xiao et al. 2023, "Efficient Streaming Language
 * Models with Attention Sinks").
 */
export const slidingCache = (params: { readonly size: number; readonly sinks?: number }): Policy =>
  definePolicy({
    name: 'window',
    concern: 'kv',
    params: { size: params.size, sinks: params.sinks ?? 0 },
    ranges: { size: [1, 2 ** 31 - 1], sinks: [0, 2 ** 31 - 1] },
    needs: ['positions', 'attention'],
  });
