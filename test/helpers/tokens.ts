/** Template text cut into tokens by a pattern of its own: for texts that tests take apart. */
import type { Random } from './random.ts';

const pattern =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|\s+|"[^"\n]*"|'[^'\n]*'|\$\{\d+\}|[A-Za-z_]\w*|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|->|\.\.|<=|>=|==|!=|[\s\S]/gu;

export interface Piece {
  readonly text: string;
  readonly start: number;
  /** Space or a comment. */
  readonly blank: boolean;
}

/** All of the text, in pieces. */
export const piecesOf = (text: string): readonly Piece[] =>
  [...text.matchAll(pattern)].map((m) => ({
    text: m[0],
    start: m.index,
    blank: /^(\s|\/\/|\/\*)/.test(m[0]),
  }));

export const tokensOf = (text: string): readonly Piece[] => piecesOf(text).filter((p) => !p.blank);

const blanks = [' ', ' ', ' ', '  ', '\n', '\n\n\n', '\t', ' // a note\n', ' /* here */ ', '\n  // } {\n', ' /* two\n lines */ ']; // prettier-ignore

/** The same tokens with other space and comments between them. */
export function scatter(text: string, random: Random): string {
  const pieces = piecesOf(text);
  const out = pieces.map((p, i) => {
    if (p.blank) return random.oneIn(3) ? random.pick(blanks) : p.text;
    const touches = pieces[i + 1]?.blank === false;
    return touches && random.oneIn(12) ? p.text + random.pick(blanks) : p.text;
  });
  return (random.oneIn(4) ? '// first\n' : '') + out.join('') + (random.oneIn(4) ? '// last' : '');
}
