/** Arguments of calls. */
import { type Named, message } from './message.ts';

export const calls = {
  'call/missing-argument': message<{ name: string; of: string }>(
    ({ name, of }) => `${of}: the argument ${name} is missing`,
  ),
  'call/too-many': message<{ of: string; most: number; found: number }>(
    ({ of, most, found }) => `${of} takes ${most} arguments, found ${found}`,
  ),
  'call/not-callable': message<Named>(({ name }) => `${name} cannot be called`),
  'call/results': message<{ of: string; found: number; expected: number }>(
    ({ of, found, expected }) => `${of} has ${found} results, ${expected} names stand on the left`,
  ),
} as const;
