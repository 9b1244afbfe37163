/** The templates in a TypeScript text laid out anew; everything else stays byte by byte. */
import { type Diagnostic, makeLog } from '../base/diagnostic.ts';
import { formatText } from '../1-syntax/format.ts';
import { type TemplateText, readTemplates } from './templates.ts';

/** A template's new layout, in place of the text from `start` to `end`. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

export interface Formatted {
  readonly text: string;
  /** One for each template whose layout changes, in order. */
  readonly edits: readonly Edit[];
  /** Mistakes of the templates that were left as they are for them. */
  readonly mistakes: readonly Diagnostic[];
}

/** Templates within holes of templates stay as they are. `width`: columns that a line may have. */
export function formatFile(file: string, text: string, width = 100): Formatted {
  const { templates } = readTemplates(file, text);
  const mistakes: Diagnostic[] = [];
  const edits: Edit[] = [];
  let out = '';
  let from = 0;
  for (const t of templates) {
    if (!t.closed || t.raw.start < from) continue;
    const log = makeLog();
    const had = text.slice(t.raw.start, t.raw.end);
    const laid = formatTemplate(t, text, width, log) ?? had;
    mistakes.push(...log.diagnostics());
    if (laid !== had) edits.push({ ...t.raw, text: laid });
    out += text.slice(from, t.raw.start) + laid;
    from = t.raw.end;
  }
  return { text: out + text.slice(from), edits, mistakes };
}

function formatTemplate(
  t: TemplateText,
  text: string,
  width: number,
  log: ReturnType<typeof makeLog>,
): string | undefined {
  const lineStart = text.lastIndexOf('\n', t.raw.start - 1) + 1;
  const before = text.slice(lineStart, t.raw.start);
  const indent = /^[ \t]*/.exec(before)?.[0] ?? '';
  const holes = t.holes.map((h) => text.slice(h.range.start, h.range.end));
  const laid = formatText(t.tag, t.source, holes, { indent, column: before.length, width }, log);
  return text.includes('\r\n') ? laid?.replace(/\r?\n/g, '\r\n') : laid;
}
