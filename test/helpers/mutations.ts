/** Texts with a mistake put in: a token deleted, doubled, or exchanged with the next. */
import type { Random } from './random.ts';
import { type Piece, piecesOf } from './tokens.ts';

export interface Mutant {
  readonly text: string;
  /** Offset in the mutant where it begins to differ. */
  readonly at: number;
  readonly what: string;
}

/** `foreign`: also tokens from elsewhere put in the place of one. */
export function mutate(text: string, random: Random, foreign: readonly string[] = []): Mutant {
  const pieces = piecesOf(text);
  const own = pieces.flatMap((p, i) => (p.blank ? [] : [i]));
  const n = random.below(own.length);
  const index = own[n] ?? 0;
  const token = pieces[index]?.text ?? '';
  const put = (at: number, by: string): readonly string[] =>
    pieces.map((p, i) => (i === at ? by : p.text));
  const made = (texts: readonly string[], what: string): Mutant => ({
    text: texts.join(''),
    at: pieces[index]?.start ?? 0,
    what: `${what} ${token}`,
  });
  switch (random.below(foreign.length > 0 ? 4 : 3)) {
    case 0:
      return made(put(index, ''), 'without');
    case 1:
      return made(put(index, `${token} ${token}`), 'twice');
    case 2: {
      const next = own[n + 1];
      if (next === undefined) return made(put(index, ''), 'without');
      return made(swapped(pieces, index, next), 'swapped');
    }
    default:
      return made(put(index, random.pick(foreign)), 'replaced');
  }
}

const swapped = (pieces: readonly Piece[], a: number, b: number): readonly string[] =>
  pieces.map((p, i) => (i === a ? pieces[b] : i === b ? pieces[a] : p)?.text ?? '');
