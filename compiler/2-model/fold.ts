/**
 * Layers to runs. Bodies hold a mark where a path has the layer's number; bodies that are equal with
 * the mark in place are one body of a loop, and the mark becomes the loop's placeholder.
 */
import { present } from '../base/invariant.ts';
import type { Body, Run } from './model.ts';

/** Stands for the layer's number in paths until the runs are known. */
export const layerMark = '{@}';

/** The same in the checkpoint's names: surgery numbers the layers of a model anew. */
export const sourceMark = '{#}';

/** A layer's body and the number that its weights have in the checkpoint. */
export interface Layer {
  readonly body: Body;
  readonly source: number;
  /** Layers with different ones are different, equal bodies or not. */
  readonly mark: string;
}

/** The longest repetition of a short pattern first, from the front. */
export function foldLayers(layers: readonly Layer[]): readonly Run[] {
  const ids = numbersOf(layers);
  const sources = layers.map((l) => l.source);
  const runs: Run[] = [];
  let first = 0;
  while (first < ids.length) {
    const { period, count } = bestPattern(ids, sources, first);
    const bodies = layers.slice(first, first + period).map(({ body, source }, i) => {
      const next = count > 1 ? present(sources[first + i + period]) : source + period;
      return placed(body, `{${first + i}+${period}i}`, `{${source}+${next - source}i}`);
    });
    runs.push({ first, count, bodies });
    first += period * count;
  }
  return runs;
}

/** Equal layers have equal numbers. */
function numbersOf(layers: readonly Layer[]): readonly number[] {
  const texts = new Map<Body, string>();
  const numbers = new Map<string, number>();
  return layers.map(({ body, mark }) => {
    const text = texts.get(body) ?? keyOf(body);
    texts.set(body, text);
    const key = `${mark}\n${text}`;
    const id = numbers.get(key) ?? numbers.size;
    numbers.set(key, id);
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
function bestPattern(ids: readonly number[], sources: readonly number[], first: number): Pattern {
  let best: Pattern = { period: 1, count: 1 };
  const longest = Math.min(mostBodies, Math.floor((ids.length - first) / 2));
  for (let period = 1; period <= longest; period++) {
    const count = roundsOf(ids, sources, first, period);
    if (count > 1 && count * period > best.count * best.period) best = { period, count };
  }
  return best;
}

/** Bodies of one loop: longer patterns of layers do not occur, and finding them takes squares. */
const mostBodies = 64;

/** How often the `period` layers from `first` on follow each other, their sources in even steps. */
function roundsOf(
  ids: readonly number[],
  sources: readonly number[],
  first: number,
  period: number,
): number {
  const stepTo = (at: number): number => (sources[at] ?? 0) - (sources[at - period] ?? 0);
  const follows = (at: number): boolean =>
    ids[at] === ids[at - period] &&
    stepTo(at) >= 0 &&
    (at < first + 2 * period || stepTo(at) === stepTo(at - period));
  let end = first + period;
  while (end < ids.length && follows(end)) end++;
  return Math.floor((end - first) / period);
}

/** The body with the marks in every path replaced; what was shared stays shared. */
function placed(body: Body, layer: string, source: string): Body {
  const copies = new Map<object, unknown>();
  const visit = (v: unknown): unknown => {
    if (typeof v === 'string') return v.replace(layerMark, layer).replace(sourceMark, source);
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
