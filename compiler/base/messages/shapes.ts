/** Shapes that do not fit. */
import { message } from './message.ts';

export const shapes = {
  'shape/argument': message<{ of: string; name: string; expected: string; found: string }>(
    ({ of, name, expected, found }) => `${of}: ${name} has shape ${found}, expected ${expected}`,
  ),
  'shape/reshape': message<{ from: string; to: string }>(
    ({ from, to }) => `${from} cannot be read as ${to}`,
    'the sizes multiply to the same number, and t stays the first axis',
  ),
  'shape/rows': message<{ of: string; found: string }>(
    ({ of, found }) =>
      `${of}: the rows of a step, t, must stay the first axis; this gives ${found}`,
  ),
  'shape/result': message<{ of: string; expected: string; found: string }>(
    ({ of, expected, found }) => `${of} returns ${found}, its signature says ${expected}`,
  ),
  'shape/size': message<{ found: string }>(
    ({ found }) => `a size must be a whole number of at least 1, found ${found}`,
  ),
} as const;
