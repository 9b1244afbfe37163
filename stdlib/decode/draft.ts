/** Guesses of a smaller model. */
import { type Policy, definePolicy } from '../../compiler/index.ts';

/**
 * A smaller model of the same vocabulary guesses `guesses` tokens, which a step verifies together
 * (Leviathan et al. 2022, "Fast Inference from Transformers via Speculative Decoding").
 */
export const draft = (params: { readonly vocabulary: number; readonly guesses: number }): Policy =>
  definePolicy({
    name: 'draft',
    concern: 'speculate',
    params,
    ranges: { vocabulary: [1, 2 ** 31 - 1], guesses: [1, 64] },
    needs: [],
    vocabulary: params.vocabulary,
  });
