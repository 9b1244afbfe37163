/**
 * Text that breaks its lines where they grow too long: Wadler's algebra ("A prettier printer", 2003).
 * A group stands on one line where it fits, else all lines of its own break.
 */
export type Doc =
  | string
  | readonly Doc[]
  /** A line end, or `flat` where its group stands on one line; hard ones always end it. */
  | { readonly kind: 'line'; readonly flat: string }
  | { readonly kind: 'hard'; readonly blank: boolean }
  | { readonly kind: 'nest'; readonly of: Doc; readonly breaks: boolean }
  | { readonly kind: 'group'; readonly of: Doc; readonly breaks: boolean };

export const line: Doc = { kind: 'line', flat: ' ' };
export const softline: Doc = { kind: 'line', flat: '' };
export const hardline: Doc = { kind: 'hard', blank: false };
/** A line end with an empty line behind it. */
export const blankLine: Doc = { kind: 'hard', blank: true };

/** Lines in `of` begin two columns further right. */
export const nest = (of: Doc): Doc => ({ kind: 'nest', of, breaks: breaks(of) });
export const group = (of: Doc): Doc => ({ kind: 'group', of, breaks: breaks(of) });

function breaks(doc: Doc): boolean {
  if (typeof doc === 'string') return false;
  if (!('kind' in doc)) return doc.some(breaks);
  if (doc.kind === 'line') return false;
  return doc.kind === 'hard' || doc.breaks;
}

interface Step {
  readonly doc: Doc;
  readonly indent: string;
  readonly flat: boolean;
}

/** `column`: where the first line begins; `indent` begins all others. */
export function layOut(doc: Doc, indent: string, column: number, width: number): string {
  let out = '';
  let at = column;
  const todo: Step[] = [{ doc, indent, flat: false }];
  for (let step = todo.pop(); step; step = todo.pop()) {
    const { doc: d, indent: own, flat } = step;
    if (typeof d === 'string') {
      out += d;
      at = d.includes('\n') ? d.length - d.lastIndexOf('\n') - 1 : at + d.length;
    } else if (!('kind' in d)) {
      for (let k = d.length - 1; k >= 0; k--) todo.push({ ...step, doc: d[k] ?? '' });
    } else if (d.kind === 'nest') {
      todo.push({ doc: d.of, indent: `${own}  `, flat });
    } else if (d.kind === 'group') {
      const whole = { doc: d.of, indent: own, flat: true };
      const fitting = !d.breaks && (flat || fits(whole, todo, width - at));
      todo.push({ ...whole, flat: fitting });
    } else if (d.kind === 'line' && flat) {
      out += d.flat;
      at += d.flat.length;
    } else {
      out = `${out.replace(/ +$/, '')}\n${d.kind === 'hard' && d.blank ? '\n' : ''}${own}`;
      at = own.length;
    }
  }
  return out;
}

/** Whether `first` and what follows it up to a line's end need at most `room` columns. */
function fits(first: Step, rest: readonly Step[], room: number): boolean {
  let left = room;
  let behind = rest.length;
  const todo = [first];
  while (left >= 0) {
    const step = todo.pop() ?? rest[--behind];
    if (!step) return true;
    const { doc: d, flat } = step;
    if (typeof d === 'string') {
      const end = d.indexOf('\n');
      if (end >= 0) return end <= left;
      left -= d.length;
    } else if (!('kind' in d)) {
      for (let k = d.length - 1; k >= 0; k--) todo.push({ ...step, doc: d[k] ?? '' });
    } else if (d.kind === 'nest') {
      todo.push({ ...step, doc: d.of });
    } else if (d.kind === 'group') {
      todo.push({ ...step, doc: d.of, flat: flat && !d.breaks });
    } else if (d.kind === 'line' && flat) {
      left -= d.flat.length;
    } else {
      return true;
    }
  }
  return false;
}
