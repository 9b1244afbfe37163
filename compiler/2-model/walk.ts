/** Every expression of a typed body. */
import type { Body, TypedExpr } from './model.ts';

export function childrenOf(e: TypedExpr): readonly TypedExpr[] {
  switch (e.kind) {
    case 'local':
    case 'weight':
    case 'constant':
    case 'step':
      return [];
    case 'op':
    case 'call':
      return e.inputs;
    case 'pick':
      return [e.from];
  }
}

/** Expressions of statements, those of layers once, then results, then the instances' own. */
export function* expressionsOf(body: Body, results: readonly TypedExpr[]): Generator<TypedExpr> {
  for (const s of body.statements) {
    if (s.kind === 'let') yield s.value;
    else for (const run of s.runs) for (const b of run.bodies) yield* expressionsOf(b, []);
  }
  yield* results;
  for (const i of body.instances) yield* expressionsOf(i.body, i.results);
}

/** An expression with those inside it; what a called instance computes is not among them. */
export function* withinExpr(e: TypedExpr): Generator<TypedExpr> {
  yield e;
  for (const child of childrenOf(e)) yield* withinExpr(child);
}

/** All of them, those inside others too. */
export function* withinBody(body: Body, results: readonly TypedExpr[]): Generator<TypedExpr> {
  for (const e of expressionsOf(body, results)) yield* withinExpr(e);
}
