/** Texts that do not follow the grammar. */
import { message } from './message.ts';

export const syntax = {
  'syntax/unexpected': message<{ found: string; expected: string }>(
    ({ found, expected }) => `unexpected ${found}, expected ${expected}`,
  ),
  'syntax/character': message<{ found: string }>(({ found }) => `unexpected character ${found}`),
  'syntax/unclosed': message<{ what: string }>(({ what }) => `a ${what} is not closed`),
  'syntax/unclosed-text': message<{ quote: string }>(
    ({ quote }) => `a text is not closed: it ends with ${quote} on the line that it begins in`,
  ),
  'syntax/unclosed-comment': message<Record<string, never>>(
    () => 'a comment is not closed: /* goes on to */',
  ),
  'syntax/number': message<{ found: string }>(
    ({ found }) => `${found} is no number: digits stand on both sides of a point, and after e`,
    'write it such as 1.0, 1e-5 or 1000',
  ),
  'syntax/reserved': message<{ word: string }>(
    ({ word }) => `${word} is a word of the language, not a name`,
    'take another name',
  ),
  'syntax/assignment': message<Record<string, never>>(
    () => '= names a value, it does not compare',
    'write == to compare',
  ),
  'syntax/too-deep': message<{ most: number }>(
    ({ most }) => `a text goes at most ${most} levels deep`,
    'give parts of it names: y = ... on lines before',
  ),
  'syntax/too-long': message<{ found: number; most: number }>(
    ({ found, most }) => `a text has at most ${most} characters, found ${found}`,
    'move parts of it into blocks of their own',
  ),
} as const;
