/** Diagnostics as text: the place in the user's file, the lines, carets and what they say. */
import type { Diagnostic, Label } from './diagnostic.ts';
import { placeOf } from './source.ts';

/** Characters of a line. */
const mostWidth = 160;
/** More than anyone reads at once. */
const mostShown = 100;

export function renderAll(diagnostics: readonly Diagnostic[]): string {
  const more = diagnostics.length - mostShown;
  const shown = diagnostics.slice(0, mostShown).map(render).join('\n');
  return more > 0 ? `${shown}\nand ${more} more\n` : shown;
}

export function render(d: Diagnostic): string {
  const out = [`${d.severity ?? 'error'}[${d.code}]: ${d.text}`];
  const [first] = d.labels;
  if (first) {
    const { line, column } = placeOf(first.span.source, first.span.start);
    out.push(`  ${first.span.source.file}:${line}:${column}`);
  }
  const width = Math.max(
    3,
    ...d.labels.map((l) => String(placeOf(l.span.source, l.span.start).line).length),
  );
  for (const label of d.labels) out.push(...frame(label, width, label !== first));
  if (d.help !== undefined) out.push(`  help: ${d.help}`);
  return out.join('\n') + '\n';
}

/** What of a line is shown: all of it, or what stands around the place. */
function windowOf(start: number, from: number, end: number): readonly [number, number] {
  if (end - from <= mostWidth) return [from, end];
  const left = Math.max(from, Math.min(start - mostWidth / 2, end - mostWidth));
  return [left, Math.min(end, left + mostWidth)];
}

function frame(label: Label, width: number, other: boolean): string[] {
  const { source, start, end } = label.span;
  const from = source.text.lastIndexOf('\n', start - 1) + 1;
  const stop = source.text.indexOf('\n', start);
  const lineEnd = stop < 0 ? source.text.length : stop;
  const [left, right] = windowOf(start, from, lineEnd);
  const plain = (a: number, b: number): string =>
    source.text.slice(a, b).replaceAll('\uE000', '${}');
  const [head, tail] = [left > from ? '… ' : '', right < lineEnd ? ' …' : ''];
  const shown = `${head}${plain(left, right)}${tail}`;
  const before = head.length + plain(left, start).length;
  const marked = plain(start, Math.min(Math.max(end, start + 1), right));
  const carets = '^'.repeat(Math.max(1, marked.length));
  const { line } = placeOf(source, start);
  const note = other && label.text !== '' ? `  note: ${label.text}` : undefined;
  const text = !other && label.text !== '' ? ` ${label.text}` : '';
  return [
    ...(note === undefined ? [] : [note]),
    `${String(line).padStart(width)} | ${shown}`,
    `${' '.repeat(width)} | ${' '.repeat(before)}${carets}${text}`,
  ];
}
