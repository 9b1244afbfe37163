/** What stands between two tokens: space, line ends and comments, which never move past a token. */
import { type IToken } from 'chevrotain';
import { type Doc, blankLine, hardline } from '../base/layout.ts';

/** `lead`: all but what stands right before the token, which `last` is. */
export interface Gap {
  readonly lead: Doc;
  readonly last: Doc;
}

export interface Gaps {
  /** Before token `k` within a statement, where `separator` stands without comments. */
  inside(k: number, separator: Doc): Gap;
  /** Before token `k`, on a line of its own; `edge`: first or last of its block. */
  between(k: number, edge?: 'first' | 'last'): Gap;
}

interface Piece {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

const piece = (t: IToken): Piece => ({
  start: t.startOffset,
  end: (t.endOffset ?? t.startOffset) + 1,
  text: t.image.replace(/\s+$/, ''),
});

export function makeGaps(
  text: string,
  tokens: readonly IToken[],
  comments: readonly IToken[],
): Gaps {
  const before: IToken[][] = Array.from({ length: tokens.length + 1 }, () => []);
  let k = 0;
  for (const c of comments) {
    while ((tokens[k]?.startOffset ?? Infinity) < c.startOffset) k++;
    before[k]?.push(c);
  }

  /** Line ends in the text before each comment and before the token. */
  function read(n: number): {
    readonly notes: readonly string[];
    readonly ends: readonly number[];
  } {
    const notes = (before[n] ?? []).map(piece);
    const previous = tokens[n - 1];
    const next = tokens[n];
    let from = previous ? piece(previous).end : 0;
    const stops = [...notes, { start: next?.startOffset ?? text.length, end: 0 }];
    const ends = stops.map(({ start, end }) => {
      const count = text.slice(from, start).split('\n').length - 1;
      from = end;
      return count;
    });
    return { notes: notes.map((c) => c.text), ends };
  }

  /** A comment behind which a line must end. */
  const endsLine = (note: string): boolean => note.startsWith('//') || note.includes('\n');

  function inside(n: number, separator: Doc): Gap {
    const { notes, ends } = read(n);
    if (notes.length === 0) return { lead: '', last: separator };
    const hard = notes.map((note, i) => endsLine(note) || (ends[i + 1] ?? 0) > 0);
    const lead: Doc[] = [];
    const tight = separator === '';
    if (!hard.includes(true)) lead.push(n === 0 ? '' : tight ? ' ' : separator);
    else lead.push(n === 0 ? '' : (ends[0] ?? 0) > 0 ? hardline : ' ');
    notes.forEach((note, i) => {
      lead.push(note);
      if (i < notes.length - 1) lead.push(hard[i] ? hardline : ' ');
    });
    return { lead, last: hard.at(-1) ? hardline : tight ? '' : ' ' };
  }

  function between(n: number, edge?: 'first' | 'last'): Gap {
    const { notes, ends } = read(n);
    const own = ends.some((e) => e > 0) || notes.some(endsLine);
    const at = (i: number): Doc => {
      if (n === 0 && i === 0) return '';
      const count = ends[i] ?? 0;
      const ended = i > 0 && endsLine(notes[i - 1] ?? '');
      const closing = edge === 'last' && i === notes.length;
      if (count === 0 && !ended && !closing && !(i === 0 && !own)) return ' ';
      const kept = count > 1 && !(edge === 'first' && i === 0) && !closing;
      return kept ? blankLine : hardline;
    };
    const lead = notes.flatMap((note, i) => [at(i), note]);
    return { lead, last: at(notes.length) };
  }

  return { inside, between };
}
