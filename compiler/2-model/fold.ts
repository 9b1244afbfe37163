/**
 * Layers to runs. Bodies hold a mark where a path has the layer's number; bodies that are equal with
 * the mark in place are one body of a loop, and the mark becomes the loop's placeholder.
 */
import { present } from '../base/invariant.ts';
import type { Body, Run } from './model.ts';

/** Stands for the layer's number in paths until the runs are known. */
export const layerMark = '{@}';

/** The longest repetition of a short pattern first, from the front. */
export function foldLayers(layers: readonly Body[]): readonly Run[] {
  const ids = numbersOf(layers);
  const runs: Run[] = [];
  let first = 0;
  while (first < ids.length) {
    const { period, count } = bestPattern(ids, first);
    const bodies = layers
      .slice(first, first + period)
      .map((body, i) => placed(body, `{${first + i}+${period}i}`));
    runs.push({ first, count, bodies });
    first += period * count;
  }
  return runs;
}

/** Equal layers have equal numbers. */
function numbersOf(layers: readonly Body[]): readonly number[] {
  const byObject = new Map<Body, number>();
  const byKey = new Map<string, number>();
  return layers.map((body) => {
    const had = byObject.get(body);
    if (had !== undefined) return had;
    const key = keyOf(body);
    const id = byKey.get(key) ?? byKey.size;
    byKey.set(key, id);
    byObject.set(body, id);
    return id;
  });
}

/** A body's structure as text, places in the source left out. */
const keyOf = (body: Body): string =>
  JSON.stringify(body, (key, value: unknown) => {
    if (key === 'span') return undefined;
    if (value instanceof Map) return [...value];
    // JSON has no word for these, and they differ.
    return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
  });

interface Pattern {
  readonly period: number;
  readonly count: number;
}

/** The pattern from `first` on that covers most layers; the shortest such. */
function bestPattern(ids: readonly number[], first: number): Pattern {
  let best: Pattern = { period: 1, count: 1 };
  const longest = Math.min(mostBodies, Math.floor((ids.length - first) / 2));
  for (let period = 1; period <= longest; period++) {
    const count = roundsOf(ids, first, period);
    if (count > 1 && count * period > best.count * best.period) best = { period, count };
  }
  return best;
}

/** Bodies of one loop: longer patterns of layers do not occur, and finding them takes squares. */
const mostBodies = 64;

/** How often the `period` layers from `first` on follow each other. */
function roundsOf(ids: readonly number[], first: number, period: number): number {
  let end = first + period;
  while (end < ids.length && ids[end] === ids[end - period]) end++;
  return Math.floor((end - first) / period);
}

/** The body with the mark in every path replaced; what was shared stays shared. */
function placed(body: Body, placeholder: string): Body {
  const copies = new Map<object, unknown>();
  const visit = (v: unknown): unknown => {
    if (typeof v === 'string') return v.replace(layerMark, placeholder);
    if (typeof v !== 'object' || v === null || v instanceof Map) return v;
    if (copies.has(v)) return copies.get(v);
    const copy: unknown = Array.isArray(v) ? v.map(visit) : copyOf(v);
    copies.set(v, copy);
    return copy;
  };
  const copyOf = (v: object): object =>
    Object.fromEntries(
      Object.entries(v).map(([key, x]) => [key, key === 'span' ? (x as unknown) : visit(x)]),
    );
  return present(visit(body) as Body | undefined); // cast: the same structure with other strings
}
