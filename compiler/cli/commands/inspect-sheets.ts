/** `cograph inspect --sheet`: each part's properties and the rules that they came from. */
import { showSheetValue } from '../../base/sheet-values.ts';
import { locate } from '../../base/locate.ts';
import { placeOf, type Span } from '../../base/source.ts';
import type { ResolvedSheets } from '../../2-model/sheets.ts';
import { readText } from '../workspace-host.ts';

export interface SheetRow {
  readonly part: string;
  readonly property: string;
  readonly value: string;
  /** The selector, where the value is written, and the part that the rule selects. */
  readonly rule: string;
  readonly file: string;
  readonly line: number;
  readonly from: string;
}

export function sheetRows(sheets: ResolvedSheets, name: string): readonly SheetRow[] {
  const title = (path: string): string => (path === '' ? name : path);
  return sheets.flatMap(({ part, settings }) =>
    [...settings].map(([property, { value, selector, span, from }]) => ({
      part: title(part.path),
      property,
      value: showSheetValue(value),
      rule: selector.source.text.slice(selector.start, selector.end),
      ...siteOf(span),
      from: title(from),
    })),
  );
}
