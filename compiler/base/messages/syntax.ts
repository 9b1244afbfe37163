/** Texts that do not follow the grammar. */
import { message } from './message.ts';

export const syntax = {
  'syntax/unexpected': message<{ found: string; expected: string }>(
    ({ found, expected }) => `unexpected ${found}, expected ${expected}`,
  ),
  'syntax/character': message<{ found: string }>(({ found }) => `unexpected character ${found}`),
  'syntax/unclosed': message<{ what: string }>(({ what }) => `a ${what} is not closed`),
  'syntax/too-deep': message<Readonly<Record<string, never>>>(
    () => 'this template is nested too deeply',
  ),
} as const;
