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
} as const;
