/** The lookahead of a model's experts as `cograph inspect` prints it. */
import { type Lookahead, sourceText } from '../3-graph/lookahead.ts';
import { sizeText } from './console.ts';

/** Layers that are alike in a line each; those of a choice made before the first, in one. */
export function lookaheadLines(all: readonly Lookahead[]): readonly string[] {
  const groups = new Map<string, Lookahead[]>();
  for (const a of all) {
    const text = `source ${sourceText(a)}; targets ${a.targets} ${a.beforeLayers ? '' : distanceText(a, a)}`;
    groups.set(text, [...(groups.get(text) ?? []), a]);
  }
  return [...groups.values()].flatMap((own) => {
    const [first, last] = [own[0], own.at(-1)];
    if (!first || !last) return [];
    const distance = distanceText(first, last);
    return [
      `experts of ${layersText(first, last)}: source ${sourceText(first)}; targets ${first.targets}; lookahead ${distance}`,
    ];
  });
}

function layersText(first: Lookahead, last: Lookahead): string {
  if (first.layer === undefined || last.layer === undefined) return 'no layer';
  return first.layer === last.layer
    ? `layer ${first.layer}`
    : `layers ${first.layer} .. ${last.layer}`;
}

function distanceText(a: Lookahead, b: Lookahead): string {
  const range = (of: (l: Lookahead) => string): string =>
    of(a) === of(b) ? of(a) : `${of(a)} .. ${of(b)}`;
  const layers = range((l) => String(l.layers));
  if (layers === '0' && a.flops === 0) return '0, used at once';
  const work = range((l) => String(Number((l.flops / 1e6).toPrecision(3))));
  const bytes = range((l) => sizeText(l.weightBytes + l.stateBytes));
  const unit = layers === '1' ? 'layer' : 'layers';
  return `${layers} ${unit}, ${work} MFLOP, ${bytes} of weights and state`;
}
