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
  'shape/whole': message<{ what: string; found: string }>(
    ({ what, found }) => `${what} is ${found}, a size is a whole number`,
    'choose sizes that divide evenly',
  ),
  'shape/rest': message<{ what: string }>(
    ({ what }) => `.. stands for the leading axes of an input or a result, not of ${what}`,
    'write the axes out',
  ),
  'shape/element-type': message<{ to: string }>(
    ({ to }) => `as changes the shape alone, not the element type to ${to}`,
    'cast(x, to = "f32") changes the type',
  ),
} as const;
