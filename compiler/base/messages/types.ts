/** Type arguments in TypeScript against the templates that they type. */
import { message, near } from './message.ts';

export const types = {
  'types/missing-parameter': message<{ of: string; name: string; type: string }>(
    ({ of, name, type }) => `this type lacks the parameter ${name} of ${of}, a ${type}`,
  ),
  'types/unknown-parameter': message<{ of: string; name: string; nearest: string | undefined }>(
    ({ of, name, nearest }) => `${of} has no parameter ${name}${near(nearest)}`,
  ),
  'types/wrong-type': message<{ of: string; name: string; expected: string; found: string }>(
    ({ of, name, expected, found }) =>
      `the parameter ${name} of ${of} is typed ${found}, expected ${expected}`,
  ),
  'types/optional': message<{ of: string; name: string }>(
    ({ of, name }) => `${name} may be left out here, and ${of} has no default for it`,
    'leave the ? away, or give the parameter a default',
  ),
  'types/unreadable': message<{ name: string }>(
    ({ name }) => `${name} is no object type written in this file or in one that it imports from`,
  ),
  'types/stale': message<{ file: string }>(
    ({ file }) => `${file} is not what these templates say now`,
    'run cograph types on this file',
  ),
} as const;
