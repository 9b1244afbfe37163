/** What compiling makes of sheets: numbers of other formats, and word of what nothing acts on. */
import type { Log } from '../base/diagnostic.ts';
import { bf16Format, bitsOf, f16Format } from '../base/number-format.ts';
import { type QuantScheme, defineScheme, printScheme } from '../base/scheme.ts';
import { type SheetValue, showSheetValue } from '../base/sheet-values.ts';
import type { Span } from '../base/source.ts';
import type { DType } from '../base/type.ts';
import type { SheetNumerics } from './edits.ts';
import type { PropertyName, ResolvedPart, ResolvedSheets } from './sheets.ts';

/** Schemes that values pass through, by concrete path. */
export interface Schemes {
  /** Of weights: the weight itself. */
  readonly weights: ReadonlyMap<string, QuantScheme>;
  /** Of matrices of products: what is multiplied with them; undefined where a sheet says f32. */
  readonly activations: ReadonlyMap<string, QuantScheme | undefined>;
  /** Of parts that attend: what goes into their caches. */
  readonly kv: ReadonlyMap<string, QuantScheme>;
  /** Of parts that attend: the element types that their caches hold, where these are not `otherwise`. */
  readonly cached: ReadonlyMap<string, CachedType>;
  /** What caches hold that no sheet speaks of. */
  readonly otherwise: CachedType;
}

export interface Effects extends Schemes {
  /** The element types that weights are stored as. */
  readonly stored: ReadonlyMap<string, DType>;
}

/** Element types that caches have kernels for. */
export const cachedTypes = ['f32', 'f16'] as const;
export type CachedType = (typeof cachedTypes)[number];

/** Whether a target computes with numbers as a property has them. */
export type NumbersTest = (property: PropertyName, value: SheetValue) => boolean;

/** Numbers of fewer bits without a scale, as a scheme. */
const plainScheme = (name: string, format: typeof f16Format): QuantScheme => {
  const digits = [
    { axis: 'k', step: bitsOf(format) },
    { axis: 'n', step: bitsOf(format), times: { axis: 'k', per: 1 } },
  ] as const;
  const pieces = [{ bits: bitsOf(format), offset: 0, digits }];
  return defineScheme({ name, codes: { format, store: 'values', pieces }, scales: [] });
};

const typeSchemes = {
  f32: undefined,
  f16: plainScheme('f16', f16Format),
  bf16: plainScheme('bf16', bf16Format),
} as const;

function schemeOf(value: SheetValue | undefined): QuantScheme | undefined {
  if (value?.kind === 'scheme') return value;
  return value?.kind === 'type' ? typeSchemes[value.type] : undefined;
}

/** The property, if any, whose scheme a value that this part brings passes through. */
const schemeProperties = (part: ResolvedPart['part']): readonly PropertyName[] => {
  if (part.kind !== 'weight') {
    return part.kinds.includes('attention') ? ['precision.kv'] : [];
  }
  const own: PropertyName = 'precision.weights';
  // A table of embeddings may be the matrix of the last product too.
  const multiplies = part.kinds.includes('linear') || part.kinds.includes('embedding');
  return multiplies ? [own, 'precision.activations'] : [own];
};

/** The type of elements where caches with kernels hold such. */
export const cachedType = (v: SheetValue | undefined): CachedType | undefined =>
  v?.kind === 'type' ? cachedTypes.find((t) => t === v.type) : undefined;

/** `otherwise`: what caches hold that no sheet speaks of. */
export function effectsOf(sheets: ResolvedSheets, otherwise: CachedType = 'f32'): Effects {
  const stored = new Map<string, DType>();
  const cached = new Map<string, CachedType>();
  const by = {
    'precision.weights': new Map<string, QuantScheme>(),
    'precision.activations': new Map<string, QuantScheme | undefined>(),
    'precision.kv': new Map<string, QuantScheme>(),
  };
  for (const { part, settings } of sheets) {
    const weights = settings.get('precision.weights')?.value;
    if (part.kind === 'weight' && weights?.kind === 'type') stored.set(part.path, weights.type);
    for (const name of ['precision.weights', 'precision.activations', 'precision.kv'] as const) {
      const value = settings.get(name)?.value;
      const has = schemeProperties(part).includes(name);
      const scheme = has ? schemeOf(value) : undefined;
      const type = has && name === 'precision.kv' ? cachedType(value) : undefined;
      if (type !== undefined) {
        if (type !== otherwise) cached.set(part.path, type);
        continue;
      }
      // Types of weights are stored as they are.
      const isStored = name === 'precision.weights' && value?.kind === 'type';
      if (scheme && !isStored) by[name].set(part.path, scheme);
      if (name === 'precision.activations' && value && !scheme) by[name].set(part.path, undefined);
    }
  }
  return {
    stored,
    cached,
    otherwise,
    weights: by['precision.weights'],
    activations: by['precision.activations'],
    kv: by['precision.kv'],
  };
}

/**
 * What tells layers apart, with paths of the whole that `root` is a part of: what sheets say, and how
 * a checkpoint keeps weights (`storageMarks`).
 */
export function numericsOf(
  effects: Effects,
  root: string | undefined,
  storage: ReadonlyMap<string, string> = new Map(),
): SheetNumerics {
  const prefix = root === undefined ? '' : `${root}.`;
  const marks = new Map<string, string>();
  const texts = new Map<QuantScheme, string>();
  const textOf = (s: QuantScheme): string => {
    const text = texts.get(s) ?? printScheme(s);
    texts.set(s, text);
    return text;
  };
  const mark = (path: string, text: string): void => {
    const whole = path === '' ? (root ?? '') : prefix + path;
    marks.set(whole, `${marks.get(whole) ?? ''} ${text}`);
  };
  for (const [path, type] of effects.stored) mark(path, type);
  for (const [path, s] of effects.weights) mark(path, `weights ${textOf(s)}`);
  for (const [path, s] of effects.activations) {
    mark(path, s ? `activations ${textOf(s)}` : 'activations f32');
  }
  for (const [path, s] of effects.kv) mark(path, `kv ${textOf(s)}`);
  for (const [path, type] of effects.cached) mark(path, `kv ${type}`);
  for (const [path, text] of storage) mark(path, `kept as ${text}`);
  const stored = new Map([...effects.stored].map(([path, type]) => [prefix + path, type]));
  return { stored, marks };
}

/**
 * Numbers that the target does not compute with are mistakes, for results would be other ones than
 * the sheet says; where and how things run is kept for who plans it, with a warning. `computes`:
 * what the target has kernels for.
 */
export function reportEffects(sheets: ResolvedSheets, computes: NumbersTest, log: Log): void {
  const effective = new Set<Span>();
  for (const { part, settings } of sheets) {
    for (const name of schemeProperties(part)) {
      const setting = settings.get(name);
      if (setting) effective.add(setting.span);
    }
  }
  const told = new Set<Span>();
  for (const { part, settings } of sheets) {
    for (const [name, { value, span, from }] of settings) {
      // Once a rule, with the first part that it selects.
      if (from !== part.path || told.has(span)) continue;
      told.add(span);
      const labels = [{ span, text: '' }];
      const shown = showSheetValue(value);
      if (!effective.has(span)) {
        log.report('sheet/no-effect', { name, value: shown }, labels);
        continue;
      }
      const path = part.path === '' ? 'the model' : part.path;
      if (!computes(name, value))
        log.report('sheet/no-kernel', { name, value: shown, path }, labels);
    }
  }
}
