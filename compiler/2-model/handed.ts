/**
 * Tensors that functions read in blocks that they are handed to. A function belongs to the block
 * that wrote it; each block between there and the op that takes it gets the tensor as one more input.
 */
import type { Span } from '../base/source.ts';
import { sameType } from '../base/type.ts';
import type { Instance, TypedExpr } from './model.ts';
import { typeOf } from './operands.ts';
import type { Context, Elaborated, Scope } from './scope.ts';

/**
 * `x`, of a function written in `scope`, as the innermost block sees it; undefined for a tensor of
 * another block without a name that could be handed on.
 */
export function handIn(ctx: Context, scope: Scope, x: TypedExpr): TypedExpr | undefined {
  const top = outermost(scope);
  const owner = ctx.stack.findIndex((s) => s.scope === top);
  const between = ctx.stack.slice(owner + 1);
  if (owner < 0 || between.length === 0 || x.kind === 'weight' || x.kind === 'step') return x;
  if (x.kind !== 'local') return undefined;
  return between.reduce<TypedExpr & { kind: 'local' }>((from, block) => {
    return { ...from, name: handedName(block, from) };
  }, x);
}

/** The block's own name for a tensor of its caller; no text can spell it. */
function handedName({ handed }: Elaborated, x: TypedExpr & { kind: 'local' }): string {
  const type = typeOf(x);
  const had = handed.find((h) => h.outer === x.name && sameType(h.type, type));
  if (had) return had.name;
  const base = x.name.startsWith(prefix) ? x.name : `${prefix}${x.name}`;
  let name = base;
  for (let n = 1; handed.some((h) => h.name === name); n++) name = `${base}${n}`;
  handed.push({ name, type, outer: x.name });
  return name;
}

const prefix = 'outer.';

/** What the call at `span` gives an instance beside its arguments. */
export const handedTo = (instance: Instance, span: Span): readonly TypedExpr[] =>
  instance.inputs.flatMap(({ outer, type }) =>
    outer === undefined ? [] : [{ kind: 'local', name: outer, span, types: [type] }],
  );

/** The scope of the block that a scope is in. */
function outermost(scope: Scope): Scope {
  let at = scope;
  while (at.outer) at = at.outer;
  return at;
}
