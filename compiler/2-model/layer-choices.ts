/**
 * What a repeat's body takes from the layer's number. Bodies that only look lists up by it
 * (`windows[l]`) are the same for layers with the same entries, and are elaborated once for them.
 */
import { unreachable } from '../base/invariant.ts';
import type { ArgAst, ExprAst, ShapeAst, StmtAst } from '../1-syntax/ast.ts';
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

function* statementsOf(body: readonly StmtAst[]): Generator<StmtAst> {
  for (const s of body) {
    yield s;
    if (s.kind === 'repeat') yield* statementsOf(s.body);
    if (s.kind === 'if') yield* statementsOf([...s.then, ...s.otherwise]);
  }
}

/** Expressions that stand in a statement itself, not in statements inside it. */
function expressionsOf(s: StmtAst): readonly ExprAst[] {
  switch (s.kind) {
    case 'weight':
      return s.weights.flatMap((w) => dimsOf(w.shape));
    case 'use':
      return [s.callee, ...argsOf(s.args)];
    case 'repeat':
      return [s.count];
    case 'if':
      return [s.when];
    case 'assign':
      return [s.value];
    case 'return':
      return s.values;
    case 'broken':
      return [];
    default:
      return unreachable(s);
  }
}

const dimsOf = (s: ShapeAst): readonly ExprAst[] => s.dims;
const argsOf = (args: readonly ArgAst[]): readonly ExprAst[] => args.map((a) => a.value);

function childrenOf(e: ExprAst): readonly ExprAst[] {
  switch (e.kind) {
    case 'number':
    case 'text':
    case 'bool':
    case 'name':
    case 'hole':
      return [];
    case 'list':
      return e.items;
    case 'call':
      return [e.callee, ...argsOf(e.args)];
    case 'index':
      return [e.of, ...e.at];
    case 'member':
      return [e.of];
    case 'as':
      return [e.of, ...dimsOf(e.shape)];
    case 'unary':
      return [e.of];
    case 'binary':
      return [e.a, e.b];
    case 'if':
      return [e.when, e.a, e.b];
    case 'lambda':
      return [e.body];
    default:
      return unreachable(e);
  }
}
