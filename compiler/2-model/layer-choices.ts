/**
 * What a repeat's body takes from the layer's number. Bodies that only look lists up by it
 * (`windows[l]`) are the same for layers with the same entries, and are elaborated once for them.
 */
import type { ExprAst, StmtAst } from '../1-syntax/ast.ts';
import { childrenOf, expressionsOf, statementsOf } from '../1-syntax/walk.ts';
import { type Scope, type Thing, lookup } from './scope.ts';

/** Layers with the same text have the same body. */
export function choicesOf(
  body: readonly StmtAst[],
  variable: string,
  scope: Scope,
): (layer: number) => string {
  const lists = new Map<string, readonly Thing[]>();
  let byNumber = false;
  const assigned = new Set<string>();
  for (const s of statementsOf(body)) {
    if (s.kind === 'assign') s.names.forEach((n) => assigned.add(n.text));
    expressionsOf(s).forEach(visit);
  }
  const plain = [...lists].every(([name, items]) => !assigned.has(name) && items.every(isPlain));
  if (byNumber || !plain) return String;
  const entries = [...lists.values()];
  return (layer) => JSON.stringify(entries.map((items) => items[layer] ?? null));

  function visit(e: ExprAst): void {
    if (e.kind === 'name' && e.name === variable) byNumber = true;
    const [at, more] = e.kind === 'index' ? e.at : [];
    const isLookup = e.kind === 'index' && !more && at?.kind === 'name' && at.name === variable;
    const list = isLookup && e.of.kind === 'name' ? lookup(scope, e.of.name) : undefined;
    if (isLookup && e.of.kind === 'name' && list?.kind === 'list') {
      lists.set(e.of.name, list.items);
      return;
    }
    childrenOf(e).forEach(visit);
  }
}

/** A value that its text tells apart from others. */
const isPlain = (t: Thing): boolean =>
  t.kind === 'int' || t.kind === 'real' || t.kind === 'bool' || t.kind === 'text';
