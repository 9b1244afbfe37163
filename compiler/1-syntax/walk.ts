/** What stands inside of what in a syntax tree. */
import { unreachable } from '../base/invariant.ts';
import type { ArgAst, ExprAst, ShapeAst, StmtAst } from './ast.ts';

/** Statements and those inside of them. */
export function* statementsOf(body: readonly StmtAst[]): Generator<StmtAst> {
  for (const s of body) {
    yield s;
    if (s.kind === 'repeat') yield* statementsOf(s.body);
    if (s.kind === 'if') yield* statementsOf([...s.then, ...s.otherwise]);
  }
}

/** Expressions that stand in a statement itself, not in statements inside it. */
export function expressionsOf(s: StmtAst): readonly ExprAst[] {
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

export function childrenOf(e: ExprAst): readonly ExprAst[] {
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
