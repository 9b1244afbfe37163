/** Paths and values as readers see them. */
import { valueText } from '../2-model/print.ts';
import type { Run, Value } from '../2-model/model.ts';
import { printFn } from '../scalar/print.ts';
import type { AttrValue } from '../ops/op.ts';
import type { Named } from './data.ts';

/** `3..60`, or `0..58::2` for every second layer. */
export function layersText(run: Run, body: number): string {
  const every = run.bodies.length;
  const first = run.first + body;
  const last = first + (run.count - 1) * every;
  if (run.count === 1) return String(first);
  return `${first}..${last}${every > 1 ? `::${every}` : ''}`;
}

/** `layers.{3+1i}.moe` as the selector `layers[3..60].moe`. */
export const selectorOf = (path: string, count: number): string =>
  path.replace(/\.?\{(\d+)\+(\d+)i\}/g, (_, from: string, by: string) => {
    const [first, step] = [Number(from), Number(by)];
    if (count === 1) return `[${first}]`;
    return `[${first}..${first + (count - 1) * step}${step > 1 ? `::${step}` : ''}]`;
  });

/** Layers by their numbers, in order; empty without any. */
export function numbersText(layers: readonly number[]): string {
  const [first, last] = [layers[0], layers.at(-1)];
  if (first === undefined || last === undefined) return '';
  if (first === last) return `layer ${first}`;
  const dense = last - first === layers.length - 1;
  return dense ? `layers ${first}..${last}` : `${layers.length} layers of ${first}..${last}`;
}

/** Names in a checkpoint, the layer's numbers as a range and the experts' as a star. */
export const sourceText = (source: string, count: number): string =>
  source.replace(/\{(\d+)\+(\d+)i\}/g, (_, from: string, by: string) => {
    const [first, step] = [Number(from), Number(by)];
    if (count === 1) return String(first);
    return `{${first}..${first + (count - 1) * step}${step > 1 ? ` by ${step}` : ''}}`;
  });

const longest = 160;

const short = (text: string, more: string): string =>
  text.length <= longest ? text : `${text.slice(0, longest)} … ${more}`;

export const paramsOf = (params: ReadonlyMap<string, Value>): readonly Named[] =>
  [...params].map(([name, v]) => ({
    name,
    value: short(valueText(v), v.kind === 'list' ? `(${v.items.length} in all)` : ''),
  }));

export function attrText(v: AttrValue): string {
  if (typeof v !== 'object') return String(v);
  if ('body' in v) return printFn(v);
  return short(`[${v.join(', ')}]`, `(${v.length} in all)`);
}
