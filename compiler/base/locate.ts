/**
 * Places in templates as places in the file that holds them: a tag sees a hole as nothing, the file
 * has an expression there, maybe of several lines.
 */
import type { Diagnostic } from './diagnostic.ts';
import type { Source, Span } from './source.ts';

const holeMark = '\uE000';

/** The diagnostic with spans over the files' own text, where `textOf` gives that and it agrees. */
export function locate(
  diagnostic: Diagnostic,
  textOf: (file: string) => string | undefined,
): Diagnostic {
  const labels = diagnostic.labels.map((l) => ({ ...l, span: locateSpan(l.span, textOf) }));
  return { ...diagnostic, labels };
}

/** One span the same way. */
export function locateSpan(span: Span, textOf: (file: string) => string | undefined): Span {
  const { source } = span;
  const text = textOf(source.file)?.replaceAll('\r\n', '\n');
  const offsets = text === undefined ? undefined : offsetsIn(source, text);
  if (text === undefined || !offsets) return span;
  const [from = 0, to = 0] = [offsets[0], offsets.at(-1)];
  const at = (offset: number): number => (offsets[offset] ?? to) - from;
  const column = from - text.lastIndexOf('\n', from - 1);
  const whole: Source = { ...source, column, text: text.slice(from, to) };
  return { source: whole, start: at(span.start), end: at(span.end) };
}

/** Offset in the file of each character of the template and of its end; undefined if they differ. */
function offsetsIn(source: Source, text: string): readonly number[] | undefined {
  const lines = text.split('\n');
  const line = lines.slice(0, source.line - 1).reduce((n, l) => n + l.length + 1, 0);
  const end = line + (lines[source.line - 1]?.length ?? 0);
  // Engines and bundlers differ in where on its line a tag's call stands: the backtick is certain.
  for (let at = text.indexOf('`', line); at >= 0 && at <= end; at = text.indexOf('`', at + 1)) {
    const found = offsetsFrom(source, text, at + 1);
    if (found) return found;
  }
  return undefined;
}

function offsetsFrom(source: Source, text: string, start: number): readonly number[] | undefined {
  let at = start;
  const out: number[] = [];
  for (const c of source.text) {
    out.push(at);
    if (c !== holeMark) {
      if (text[at] !== c) return undefined;
      at++;
      continue;
    }
    const end = text.startsWith('${', at) ? afterHole(text, at + 2) : undefined;
    if (end === undefined) return undefined;
    at = end;
  }
  return [...out, at];
}

/** Behind the brace that closes a hole: strings and braces inside are skipped. */
function afterHole(text: string, from: number): number | undefined {
  let depth = 1;
  let quote = '';
  for (let at = from; at < text.length; at++) {
    const c = text[at] ?? '';
    if (quote !== '') {
      if (c === '\\') at++;
      else if (c === quote) quote = '';
    } else if (c === '"' || c === "'" || c === '`') quote = c;
    else if (c === '{') depth++;
    else if (c === '}' && --depth === 0) return at + 1;
  }
  return undefined;
}
