/** What sheets say of the parts of a page: layers that are alike in one row, with the rule. */
import { invariant } from '../base/invariant.ts';
import { type QuantScheme, isScheme } from '../base/scheme.ts';
import { showSheetValue } from '../base/sheet-values.ts';
import { type DType, bytesOf } from '../base/type.ts';
import { constantDim } from '../base/dim.ts';
import { type Model, type WeightDecl, nameAt } from '../2-model/model.ts';
import type { PropertyName, ResolvedSheets, Setting } from '../2-model/sheets.ts';
import { weightsOf } from '../2-model/weights.ts';
import { keptBits } from '../3-graph/kept.ts';
import type { Named } from './data.ts';
import { numbersText } from './paths.ts';

export interface ViewSheets {
  readonly resolved: ResolvedSheets;
  /** The rule of a setting and where it is written. */
  readonly ruleOf: (setting: Setting) => string;
}

/** How a weight's numbers are stored: an element type or a scheme. */
export interface Storage {
  /** Of all layers that the declaration stands for, each once. */
  readonly names: readonly string[];
  /** Bits of an element, scales included: the mean over the layers; absent where types say it. */
  readonly bits?: number;
  readonly says: 'sheets' | 'types';
}

export interface SheetText {
  /** Of parts by their concrete paths: the layers that a scope stands for. */
  readonly rows: (paths: readonly string[]) => readonly Named[];
  /** Which of the paths a sheet places. */
  readonly placed: (paths: readonly string[]) => 'all' | 'some' | 'none';
  /** By the path of the weight in the model, placeholder included. */
  readonly storage: (path: string) => Storage;
}

export function sheetText(
  model: Model,
  sheets: ViewSheets | undefined,
  dtypeOf: ((path: string) => DType) | undefined,
  schemeOf: ((path: string) => QuantScheme | undefined) | undefined,
): SheetText {
  const settings = new Map(sheets?.resolved.map((r) => [r.part.path, r.settings]));
  const storage = new Map<string, Storage>();
  for (const { weight, count } of weightsOf(model.body)) {
    const own = Array.from({ length: count }, (_, i) =>
      settings.get(nameAt(weight.path, i))?.get('precision.weights'),
    );
    const dtype = dtypeOf?.(weight.path) ?? weight.stored ?? weight.type.dtype;
    storage.set(weight.path, storageOf(weight, own, schemeOf?.(weight.path) ?? dtype));
  }
  return {
    rows: (paths) => (sheets ? rowsOf(paths, settings, sheets.ruleOf) : []),
    placed(paths) {
      const set = paths.filter((p) => settings.get(p)?.has('place.on')).length;
      return set === 0 ? 'none' : set === paths.length ? 'all' : 'some';
    },
    storage(path) {
      const found = storage.get(path);
      invariant(found !== undefined, () => `a weight of the model, not ${path}`);
      return found;
    },
  };
}

function storageOf(
  weight: WeightDecl,
  own: readonly (Setting | undefined)[],
  stored: DType | QuantScheme,
): Storage {
  const kept = own.map((s) => (s && isScheme(s.value) ? s.value : stored));
  const names = [...new Set(kept.map((s) => (isScheme(s) ? s.name : s)))].sort();
  const says = own.some((s) => s !== undefined) ? 'sheets' : 'types';
  if (!kept.some(isScheme)) return { names, says };
  const bits = kept.map((s) => (isScheme(s) ? bitsIn(s, weight) : 8 * bytesOf[s]));
  return { names, says, bits: bits.reduce((a, b) => a + b, 0) / bits.length };
}

const bitsIn = (scheme: QuantScheme, { type }: WeightDecl): number =>
  keptBits(
    scheme,
    type.shape.map((d) => constantDim(d) ?? 1),
  );

function rowsOf(
  paths: readonly string[],
  settings: ReadonlyMap<string, ReadonlyMap<PropertyName, Setting>>,
  ruleOf: (setting: Setting) => string,
): readonly Named[] {
  const all = [...new Set(paths)];
  const groups = new Map<string, { property: string; value: string; of: string[] }>();
  for (const path of all) {
    for (const [property, setting] of settings.get(path) ?? []) {
      const value = `${showSheetValue(setting.value)}, by ${ruleOf(setting)}`;
      const key = `${property} ${value}`;
      const group = groups.get(key) ?? { property, value, of: [] };
      groups.set(key, group);
      group.of.push(path);
    }
  }
  const text = (name: string, of: readonly string[]): string => {
    if (of.length === all.length) return name;
    return `${name}, ${numbersText(of.flatMap(layerIn))}`;
  };
  return [...groups.values()]
    .map(({ property, value, of }) => ({ name: text(property, of), value }))
    .sort((a, b) => order.compare(a.name, b.name));
}

const order = new Intl.Collator('en', { numeric: true });

/** The number of the layer that a path goes through. */
function layerIn(path: string): readonly number[] {
  const number = /(?:^|\.)(\d+)(?:\.|$)/.exec(path)?.[1];
  return number === undefined ? [] : [Number(number)];
}
