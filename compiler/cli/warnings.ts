/** Warnings as people read them, and as `--json` lists them. */
import { readFileSync } from 'node:fs';
import type { Diagnostic } from '../base/diagnostic.ts';
import { locate } from '../base/locate.ts';
import { renderAll } from '../base/render.ts';
import { placeOf } from '../base/source.ts';
import type { Console } from './console.ts';

export interface Told {
  readonly code: string;
  readonly text: string;
  readonly file?: string;
  readonly line?: number;
}

/** Notes them on standard error, unless that is quiet, and gives what JSON says of them. */
export function tellWarnings(
  warnings: readonly Diagnostic[],
  console: Pick<Console, 'note'>,
): readonly Told[] {
  const located = warnings.map((w) => locate(w, textOfFile));
  if (located.length > 0) console.note(renderAll(located).trimEnd());
  return located.map(({ code, text, labels }) => {
    const [label] = labels;
    if (!label) return { code, text };
    const { source, start } = label.span;
    return { code, text, file: source.file, line: placeOf(source, start).line };
  });
}

function textOfFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
