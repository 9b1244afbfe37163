/** Several continuations of one text at a time. */
import { type Policy, definePolicy } from '../../compiler/index.ts';

/** At most `most` paths that share the cache of what came before their fork. */
export const parallelPaths = (most: number): Policy =>
  definePolicy({
    name: 'fork',
    concern: 'paths',
    params: { most },
    ranges: { most: [1, 1 << 10] },
    needs: ['attention'],
  });
