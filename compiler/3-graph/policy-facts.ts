/** Policies against what the dataflow tells: how far ahead a choice is known, how wide results are. */
import type { Log } from '../base/diagnostic.ts';
import type { SheetValue } from '../base/sheet-values.ts';
import type { Span } from '../base/source.ts';
import type { Model } from '../2-model/model.ts';
import type { ResolvedSheets } from '../2-model/sheets.ts';
import { type Lookahead, lookaheads } from './lookahead.ts';

/** Reports each value once: distances beyond the lookahead, and vocabularies that differ. */
export function checkPolicyFacts(model: Model, sheets: ResolvedSheets, log: Log): void {
  let known: readonly Lookahead[] | undefined;
  const told = new Set<Span>();
  const once = (span: Span): boolean => !told.has(span) && told.add(span) === told;
  const vocabulary = model.results[0]?.types[0]?.shape.at(-1);
  for (const { part, settings } of sheets) {
    const guess = settings.get('decode.speculate');
    const own = guess?.value.kind === 'policy' ? guess.value.vocabulary : undefined;
    if (guess && own !== undefined && own !== vocabulary && once(guess.span)) {
      const draft = String(own);
      log.report('sheet/vocabulary', { draft, model: String(vocabulary) }, [
        { span: guess.span, text: '' },
      ]);
    }
    const setting = settings.get('decode.prefetch');
    const wanted = setting && distanceOf(setting.value);
    if (!setting || !wanted || part.kind === 'weight' || !part.kinds.includes('experts')) continue;
    known ??= lookaheads(model, { keys: 1 });
    const uses = known.filter((l) => l.weights.some((w) => w.startsWith(`${part.path}.`)));
    const layers = Math.min(...uses.map((l) => l.layers));
    if (wanted <= layers || !once(setting.span)) continue;
    log.report('sheet/lookahead', { wanted, path: part.path, layers }, [
      { span: setting.span, text: '' },
    ]);
  }
}

/** Layers between asking for experts and using them. */
function distanceOf(value: SheetValue): number | undefined {
  if (value.kind === 'int') return value.value;
  return value.kind === 'policy' && value.ahead !== undefined
    ? value.params[value.ahead]
    : undefined;
}
