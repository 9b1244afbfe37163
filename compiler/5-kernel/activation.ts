/** Which schemes of what tokens bring kernels compute with, and how they quantise. */
import { invariant, present } from '../base/invariant.ts';
import { f32Format } from '../base/number-format.ts';
import { type QuantScheme, isByRow, levelsOf } from '../base/scheme.ts';
import type { ValueId } from '../3-graph/graph.ts';
import type { Plan } from '../4-partition/plan.ts';
import { type Expr, cast, compare, div, num, select, splat, unary } from '../scalar/expr.ts';
import type { Builder } from './builder.ts';
import type { Stmt } from './kernel.ts';
import { named } from './statements.ts';

export interface Activation {
  /** Elements of k that share a scale; 0: all of a row. */
  readonly group: number;
  /** The largest code: the magnitude of the largest element of a group. */
  readonly largest: number;
}

/** Codes of bytes below one scale of 32 bits, or undefined for what has no kernels. */
export function activationOf(scheme: QuantScheme): Activation | undefined {
  const { codes, scales, zero, fit, rounding, offset } = scheme;
  const [scale, ...more] = scales;
  const plain = zero.kind === 'none' && fit === 'largest' && rounding === 'even' && offset === 0;
  if (!plain || !isByRow(scheme) || !scale || more.length > 0) return undefined;
  if (codes.format.kind !== 'int' || codes.format.bits > 8 || codes.format.bits < 2) {
    return undefined;
  }
  if (JSON.stringify(scale.format) !== JSON.stringify(f32Format)) return undefined;
  const group = scale.group.k;
  if (group !== 0 && group % 16 !== 0) return undefined;
  return { group, largest: 2 ** (codes.format.bits - 1) - 1 };
}

/** Why products have no kernel for the scheme, or undefined where they have one. */
export function activationRefusal(scheme: QuantScheme): string | undefined {
  if (activationOf(scheme)) return undefined;
  const groups = levelsOf(scheme).map((l) => `${l.group.n} x ${l.group.k}`);
  return `${scheme.name}: kernels take whole numbers of 2 to 8 bits below one f32 scale for each row or 16, 32, .. elements of it, not groups of ${groups.join(', ')}`;
}

/** The scheme that a value is quantised in, if it is, and the value before. */
export function quantisedFrom(
  plan: Pick<Plan, 'producers'>,
  x: ValueId,
): { readonly from: ValueId; readonly activation: Activation } | undefined {
  const facts = plan.producers.get(x);
  if (facts?.lowered.kind !== 'quantise') return undefined;
  const activation = activationOf(facts.lowered.scheme);
  invariant(activation !== undefined, 'schemes of activations are checked before');
  return { from: present(facts.node.inputs[0]), activation };
}

/** Codes of a group of elements: what they are divided by, and the code of one of them, or of lanes. */
export interface GroupCodes {
  readonly stmts: readonly Stmt[];
  readonly scale: Expr;
  codeOf(x: Expr): Expr;
}

/**
 * The scale of a group is its largest magnitude `most` over the largest code, and codes are rounded
 * half to even, as `quantiseMatrix` has it.
 */
export function codesBelow(b: Builder, most: Expr, largest: number): GroupCodes {
  const scale = named(b.fresh('scale'), div(most, num(largest)));
  // A group of zeros has zeros for codes: what is divided by is then of no matter.
  const by = named(b.fresh('by'), select(compare('gt', scale.ref, num(0)), scale.ref, num(1)));
  return {
    stmts: [scale.stmt, by.stmt],
    scale: scale.ref,
    codeOf: (x) => cast(unary('round', div(x, splat(by.ref, x.lanes))), 'i32'),
  };
}

/** Why caches have no kernel for the scheme, or undefined where they have one. */
export function cacheRefusal(scheme: QuantScheme): string | undefined {
  if (activationOf(scheme)?.group === 0) return undefined;
  return `${scheme.name}: caches keep whole numbers of 2 to 8 bits below one f32 scale for each head`;
}
