/** A model's weights against a checkpoint's header: stored types, exact names, shapes. */
import { constantDim } from '../base/dim.ts';
import type { Log } from '../base/diagnostic.ts';
import { nearestName } from '../base/messages/nearest.ts';
import { present } from '../base/invariant.ts';
import type { QuantScheme } from '../base/scheme.ts';
import type { DType } from '../base/type.ts';
import { weightsOf } from './weights.ts';
import { type Model, type WeightDecl, nameAt } from './model.ts';

/** An entry of a checkpoint's header, its type as the file writes it (`BF16`). */
export interface StoredTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** How its numbers are quantised, where they are. */
  readonly scheme?: QuantScheme;
}

export interface BoundWeight {
  /** As the checkpoint stores it, and as the model does: a sheet may say another type. */
  readonly from: DType;
  readonly dtype: DType;
  /** The scheme that all its tensors are kept in, where the model keeps them as they are. */
  readonly scheme?: QuantScheme;
  /** Tensors of the checkpoint by iteration; several where the leading axis is kept one by one. */
  readonly names: readonly (readonly string[])[];
}

export interface BoundWeights {
  /** By the weight's path in the model, placeholder included. */
  readonly weights: ReadonlyMap<string, BoundWeight>;
  /** Tensors of the checkpoint that the model does not use. */
  readonly unused: readonly string[];
}

const floatTypes: Readonly<Record<string, DType>> = { F32: 'f32', F16: 'f16', BF16: 'bf16' };

/** Reports every weight that is missing or has another shape at its declaration in the template. */
export function bindWeights(
  model: Model,
  tensors: ReadonlyMap<string, StoredTensor>,
  log: Log,
): BoundWeights {
  const weights = new Map<string, BoundWeight>();
  const used = new Set<string>();
  for (const { weight, count } of weightsOf(model.body)) {
    if (weights.has(weight.path)) continue;
    const found = bindOne(weight, count, tensors, log);
    if (!found) continue;
    found.names.flat().forEach((n) => used.add(n));
    weights.set(weight.path, found);
  }
  return { weights, unused: [...tensors.keys()].filter((n) => !used.has(n)) };
}

/**
 * Texts by concrete path for weights whose layers a checkpoint keeps in different element types or
 * schemes: layers with different ones are not the same.
 */
export function storageMarks(
  model: Model,
  tensors: ReadonlyMap<string, StoredTensor>,
): ReadonlyMap<string, string> {
  const alike = new Map<string, Map<string, string>>();
  for (const { weight, count } of weightsOf(model.body)) {
    const name = weight.path.replace(/\{\d+\+\d+i\}/g, '{}');
    if (name === weight.path) continue;
    const texts = alike.get(name) ?? new Map<string, string>();
    alike.set(name, texts);
    for (let i = 0; i < count; i++) {
      const kept = sourcesOf(weight, i).map((source) => {
        const found = nameIn(tensors, source);
        return found === undefined ? 'nothing' : typeText(present(tensors.get(found)));
      });
      texts.set(nameAt(weight.path, i), [...new Set(kept)].join());
    }
  }
  const mixed = [...alike.values()].filter((texts) => new Set(texts.values()).size > 1);
  return new Map(mixed.flatMap((texts) => [...texts]));
}

const typeText = (t: StoredTensor): string => t.scheme?.name ?? t.dtype;

/** The name in the checkpoint, without `.weight`: of each of a stack that it keeps one by one. */
function sourcesOf(weight: WeightDecl, iteration: number): readonly string[] {
  const source = nameAt(weight.source, iteration);
  if (!source.includes('*')) return [source];
  const length = constantDim(present(weight.type.shape[0])) ?? 0;
  return Array.from({ length }, (_, e) => source.replace('*', String(e)));
}

const nameIn = (tensors: ReadonlyMap<string, StoredTensor>, source: string): string | undefined =>
  [source, `${source}.weight`].find((n) => tensors.has(n));

function bindOne(
  weight: WeightDecl,
  count: number,
  tensors: ReadonlyMap<string, StoredTensor>,
  log: Log,
): BoundWeight | undefined {
  const shape = weight.type.shape.map((d) => present(constantDim(d), 'size of a weight'));
  const names: string[][] = [];
  const types = new Set<string>();
  const dtypes = new Set<string>();
  const schemes = new Set<QuantScheme | undefined>();
  for (let iteration = 0; iteration < count; iteration++) {
    const sources = sourcesOf(weight, iteration);
    const expected = weight.source.includes('*') ? shape.slice(1) : shape;
    const own = sources.map((s) => find(weight, s, expected, tensors, log));
    if (own.some((n) => n === undefined)) return undefined;
    names.push(own.map((n) => present(n)));
    for (const n of own) {
      const t = present(tensors.get(present(n)));
      types.add(typeText(t));
      dtypes.add(t.dtype);
      schemes.add(t.scheme);
    }
  }
  const [first, other] = types;
  const labels = [{ span: weight.span, text: '' }];
  if (other !== undefined) {
    log.report('weight/mixed', { name: weight.source, first: present(first), other }, labels);
    return undefined;
  }
  const [stored] = dtypes;
  const dtype = stored === undefined ? undefined : floatTypes[stored];
  if (!dtype) {
    log.report('weight/type', { name: weight.source, found: first ?? 'nothing' }, labels);
    return undefined;
  }
  const [scheme] = schemes;
  const kept = scheme && weight.stored === undefined ? { scheme } : {};
  return { from: dtype, dtype: weight.stored ?? dtype, ...kept, names };
}

/** The tensor named so, or named so with `.weight` behind. */
function find(
  weight: WeightDecl,
  source: string,
  shape: readonly number[],
  tensors: ReadonlyMap<string, StoredTensor>,
  log: Log,
): string | undefined {
  const name = nameIn(tensors, source);
  const labels = [{ span: weight.span, text: 'this weight' }];
  if (name === undefined) {
    const nearest = nearestName(
      source,
      [...tensors.keys()].map((n) => n.replace(/\.weight$/, '')),
    );
    log.report('weight/missing', { name: source, nearest }, labels);
    return undefined;
  }
  const found = present(tensors.get(name)).shape;
  if (found.length === shape.length && found.every((n, i) => n === shape[i])) return name;
  const text = (s: readonly number[]): string => `[${s.join(', ')}]`;
  log.report('weight/shape', { name, expected: text(shape), found: text(found) }, labels);
  return undefined;
}
