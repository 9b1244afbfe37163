/** Guesses that a step verifies together. */
import { type Policy, definePolicy } from '../../compiler/index.ts';

/** Continues as the text did after its last occurrence of the same `length` tokens. */
export const ngram = (params: { readonly length: number; readonly guesses: number }): Policy =>
  definePolicy({
    name: 'ngram',
    concern: 'speculate',
    params,
    ranges: { length: [1, 64], guesses: [1, 64] },
    needs: [],
  });
