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
  'call/argument-twice': message<{ name: string; of: string }>(
    ({ name, of }) => `${of}: the argument ${name} is given twice`,
    'take one of them out',
  ),
  'call/tensor-by-name': message<{ name: string; of: string }>(
    ({ name, of }) => `${name} is a tensor of ${of}; tensors are given in order, without names`,
    'put it first, without its name',
  ),
  'call/one-result': message<{ of: string; found: number }>(
    ({ of, found }) => `${of} needs one tensor, this has ${found} results`,
    'give the results names first: a, b = ...',
  ),
  'call/not-called': message<Named>(
    ({ name }) => `${name} is an instance and no tensor`,
    'call it with its input: name(x)',
  ),
  'call/state-twice': message<Named>(
    ({ name }) =>
      `${name} keeps state, which a step writes once: it cannot be called twice or by several layers`,
    'declare an instance for each call with use',
  ),
} as const;
