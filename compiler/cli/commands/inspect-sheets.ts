/** `cograph inspect --sheet`: each part's properties and the rules that they came from. */
import { readFileSync } from 'node:fs';
import { locateSpan } from '../../base/locate.ts';
import { showSheetValue } from '../../base/sheet-values.ts';
import { placeOf } from '../../base/source.ts';
import type { ResolvedSheets, Setting } from '../../2-model/sheets.ts';

export interface SheetRow {
  readonly part: string;
  readonly property: string;
  readonly value: string;
  /** The selector, its file and line, and the part that it selects: this one or an outer one. */
  readonly rule: string;
  readonly file: string;
  readonly line: number;
  readonly from: string;
}

export function sheetRows(sheets: ResolvedSheets, name: string): readonly SheetRow[] {
  const title = (path: string): string => (path === '' ? name : path);
  return sheets.flatMap(({ part, settings }) =>
    [...settings].map(([property, setting]) => ({
      part: title(part.path),
      property,
      value: showSheetValue(setting.value),
      ...placeOfRule(setting),
      from: title(setting.from),
    })),
  );
}

export function placeOfRule({ selector }: Setting): Pick<SheetRow, 'rule' | 'file' | 'line'> {
  const { source, start, end } = selector;
  const found = locateSpan(selector, textOfFile);
  const { line } = placeOf(found.source, found.start);
  return { rule: source.text.slice(start, end), file: source.file, line };
}

export function sheetText(rows: readonly SheetRow[]): string {
  if (rows.length === 0) return 'no sheet says anything of any part';
  const table = rows.map((r) => [
    r.part,
    r.property,
    r.value,
    `${r.rule}  ${r.file}:${r.line}${r.from === r.part ? '' : ` (of ${r.from})`}`,
  ]);
  const widths = [0, 1, 2].map((c) => Math.max(...table.map((row) => row[c]?.length ?? 0)));
  return table.map((row) => row.map((x, c) => x.padEnd(widths[c] ?? 0)).join('  ')).join('\n');
}

function textOfFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
