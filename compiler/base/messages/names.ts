/** Names that stand for nothing, or for two things. */
import { type Named, type Unknown, message, near } from './message.ts';

export const names = {
  'name/unknown': message<Unknown>(({ name, nearest }) => `unknown name ${name}${near(nearest)}`),
  'name/unknown-op': message<Unknown>(
    ({ name, nearest }) => `no op or instance named ${name}${near(nearest)}`,
  ),
  'name/unknown-type': message<Unknown>(
    ({ name, nearest }) => `unknown type ${name}${near(nearest)}`,
  ),
  'name/unknown-argument': message<{ name: string; of: string; nearest: string | undefined }>(
    ({ name, of, nearest }) => `${of} has no parameter ${name}${near(nearest)}`,
  ),
  'name/repeated': message<Named>(({ name }) => `${name} is defined twice`),
  'name/fixed': message<Named>(
    ({ name }) => `${name} stands for one thing throughout and is not assigned`,
    'give the result a name of its own',
  ),
  'name/op-as-value': message<Named>(
    ({ name }) => `${name} is an op and no value`,
    'call it, or give a function: |x| ...',
  ),
  'name/reserved': message<Named>(
    ({ name }) => `${name} stands for the tokens of a step and names nothing else`,
    'give it another name',
  ),
} as const;
