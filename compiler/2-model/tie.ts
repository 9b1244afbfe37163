/** Ties: weights that are another one. */
import type { Log } from '../base/diagnostic.ts';
import { sameType, showType } from '../base/type.ts';
import type { TiedWeight } from './edits.ts';
import type { WeightDecl } from './model.ts';

/** What each weight becomes, ties of ties followed; undefined with mistakes in `log`. */
export function checkTies(
  ties: readonly TiedWeight[],
  log: Log,
): ReadonlyMap<string, WeightDecl> | undefined {
  const found = new Map<string, WeightDecl>();
  for (const { edit, weight, to } of ties) {
    const site = { span: edit.site, text: '' };
    const name = weight.path;
    if (!to) {
      // Told once for an edit, by the names that it was made with.
      log.report('edit/tie-gone', { name: edit.at.join(', '), to: edit.to }, [site]);
    } else if (!sameType(weight.type, to.type)) {
      const [own, other] = [showType(weight.type), showType(to.type)];
      log.report('edit/tie-shape', { name, to: to.path, own, other }, [
        site,
        { span: weight.span, text: `this is ${own}` },
        { span: to.span, text: `this is ${other}` },
      ]);
    } else found.set(name, to);
  }
  if (log.failed) return undefined;
  return new Map([...found].map(([path, to]) => [path, lastOf(found, to)]));
}

/** A weight that was tied is no longer there to be tied to: the chain ends. */
function lastOf(ties: ReadonlyMap<string, WeightDecl>, weight: WeightDecl): WeightDecl {
  const next = ties.get(weight.path);
  return next ? lastOf(ties, next) : weight;
}
