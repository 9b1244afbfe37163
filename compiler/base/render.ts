/** Diagnostics as text: the place in the user's file, the lines, carets and what they say. */
import type { Diagnostic, Label } from './diagnostic.ts';
import { placeOf } from './source.ts';

export const renderAll = (diagnostics: readonly Diagnostic[]): string =>
  diagnostics.map(render).join('\n');

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

function frame(label: Label, width: number, other: boolean): string[] {
  const { source, start, end } = label.span;
  const from = source.text.lastIndexOf('\n', start - 1) + 1;
  const stop = source.text.indexOf('\n', start);
  const lineEnd = stop < 0 ? source.text.length : stop;
  const shown = source.text.slice(from, lineEnd).replaceAll('\uE000', '${}');
  const before = source.text.slice(from, start).replaceAll('\uE000', '${}').length;
  const marked = source.text.slice(start, Math.min(Math.max(end, start + 1), lineEnd));
  const carets = '^'.repeat(Math.max(1, marked.replaceAll('\uE000', '${}').length));
  const { line } = placeOf(source, start);
  const note = other && label.text !== '' ? `  note: ${label.text}` : undefined;
  const text = !other && label.text !== '' ? ` ${label.text}` : '';
  return [
    ...(note === undefined ? [] : [note]),
    `${String(line).padStart(width)} | ${shown}`,
    `${' '.repeat(width)} | ${' '.repeat(before)}${carets}${text}`,
  ];
}
