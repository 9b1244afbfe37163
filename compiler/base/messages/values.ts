/** Compile-time values and kinds. */
import { message } from './message.ts';

export const values = {
  'type/kind': message<{ what: string; expected: string; found: string }>(
    ({ what, expected, found }) => `${what}: expected ${expected}, found ${found}`,
  ),
  'value/not-compile-time': message<{ what: string }>(
    ({ what }) => `${what} must be known when the model is compiled`,
  ),
  'value/index': message<{ index: number; length: number }>(
    ({ index, length }) => `index ${index} of a list with ${length} elements`,
  ),
  'value/indices': message<{ found: number }>(
    ({ found }) => `one index selects from a list or a table, found ${found}`,
    'several indices are for functions of positions, |i, j, h| bias[h, i - j]',
  ),
  'value/operands': message<{ op: string; left: string; right: string }>(
    ({ op, left, right }) => `${op} does not go with ${left} and ${right}`,
  ),
  'value/hole': message<{ found: string }>(
    ({ found }) =>
      `expected a number, a truth value, a text, a block or a list of these, found ${found}`,
  ),
  'value/function': message<{ what: string }>(({ what }) => `there is no ${what}`),
  'value/zero-division': message<{ op: string }>(
    ({ op }) => `${op} by zero has no value`,
    'hold it apart with if',
  ),
} as const;
