/** Functions of attention: the tensors that masks and scores read. */
import { type Named, message } from './message.ts';

export const attention = {
  'attention/row': message<Named>(
    ({ name }) => `${name} has a row for each token: its first index says whose`,
    'the position of the query or of the key, as in |i, j| docs[i] == docs[j]',
  ),
  'attention/indices': message<Named & { most: number; found: number }>(
    ({ name, most, found }) => `${name} has ${most} axes, found ${found} indices`,
  ),
  'attention/range': message<Named & { index: number; size: number }>(
    ({ name, index, size }) => `index ${index} of an axis of ${name} with ${size} elements`,
  ),
  'attention/vector': message<{ found: string }>(
    ({ found }) => `a function gives one value for each pair, found ${found} of them`,
    'index the rest, or take dot(a, b) or sum(a)',
  ),
  'attention/sizes': message<{ shapes: string }>(
    ({ shapes }) => `the sizes ${shapes} do not go together`,
  ),
  'attention/foreign': message<Named>(
    ({ name }) => `${name} is computed in a function that another block is handed`,
    'compute it before, under a name, and read the name in the function',
  ),
} as const;
