/** Texts that do not follow the grammar. */
import { message } from './message.ts';

export const syntax = {
  'syntax/unexpected': message<{ found: string; expected: string }>(
    ({ found, expected }) => `unexpected ${found}, expected ${expected}`,
  ),
  'syntax/character': message<{ found: string }>(({ found }) => `unexpected character ${found}`),
  'syntax/unclosed': message<{ what: string }>(({ what }) => `a ${what} is not closed`),
  'syntax/too-deep': message<{ most: number }>(
    ({ most }) => `a text goes at most ${most} levels deep`,
    'give parts of it names: y = ... on lines before',
  ),
  'syntax/too-long': message<{ found: number; most: number }>(
    ({ found, most }) => `a text has at most ${most} characters, found ${found}`,
    'move parts of it into blocks of their own',
  ),
} as const;
