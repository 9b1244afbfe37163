/** What compiling makes of sheets: types of weights, and word of what nothing acts on. */
import type { Log } from '../base/diagnostic.ts';
import { showSheetValue } from '../base/sheet-values.ts';
import type { DType } from '../base/type.ts';
import type { ResolvedSheets } from './sheets.ts';

/** The element types that sheets give weights, by concrete path with `prefix` before it. */
export function storedTypes(sheets: ResolvedSheets, prefix: string): ReadonlyMap<string, DType> {
  const types = new Map<string, DType>();
  for (const { part, settings } of sheets) {
    const value = settings.get('precision.weights')?.value;
    if (part.kind === 'weight' && value?.kind === 'type') types.set(prefix + part.path, value.type);
  }
  return types;
}

/**
 * Numbers that no target computes with are mistakes, for results would be other ones than the sheet
 * says; where and how things run is kept for who plans it, with a warning.
 */
export function reportEffects(sheets: ResolvedSheets, log: Log): void {
  const told = new Set<object>();
  for (const { part, settings } of sheets) {
    for (const [name, { value, span, from }] of settings) {
      // Once a rule, with the first part that it selects.
      if (from !== part.path || told.has(span)) continue;
      told.add(span);
      const labels = [{ span, text: '' }];
      const shown = showSheetValue(value);
      if (!name.startsWith('precision.')) {
        log.report('sheet/no-effect', { name, value: shown }, labels);
        continue;
      }
      const path = part.path === '' ? 'the model' : part.path;
      const works = value.kind === 'type' && (name === 'precision.weights' || value.type === 'f32');
      if (!works) log.report('sheet/no-kernel', { name, value: shown, path }, labels);
    }
  }
}
