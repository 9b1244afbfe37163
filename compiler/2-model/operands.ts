/** Typed operands and results of ops. */
import { type Dim, sameDim, symbol } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import { nearestName } from '../base/messages/nearest.ts';
import type { Span } from '../base/source.ts';
import { type DType, type TensorType, bytesOf, showType } from '../base/type.ts';
import { type OpName, opOf } from '../ops/index.ts';
import { type Attrs, isProblem } from '../ops/op.ts';
import type { Name } from '../1-syntax/ast.ts';
import type { TypedExpr } from './model.ts';
import { type Context, type Thing, describe, errorThing } from './scope.ts';

export const tensorThing = (expr: TypedExpr): Thing => ({ kind: 'tensor', expr });

export function wrongKind(
  ctx: Context,
  span: Span,
  what: string,
  expected: string,
  found: Thing,
): Thing {
  ctx.log.report('type/kind', { what, expected, found: describe(found) }, [{ span, text: '' }]);
  return errorThing;
}

/** A thing as an operand: a tensor of one result, or a number as a scalar. */
export function operandOf(ctx: Context, t: Thing, span: Span, what: string): TypedExpr | undefined {
  if (t.kind === 'error') return undefined;
  if (t.kind === 'int' || t.kind === 'real') return scalar(t.value, span);
  // The value of a number that is open changes no type.
  if (ctx.mode === 'open' && (t.kind === 'open' || t.kind === 'dim')) return scalar(1, span);
  if (t.kind === 'tensor') {
    if (t.expr.types.length === 1) return t.expr;
    ctx.log.report('call/one-result', { of: what, found: t.expr.types.length }, [
      { span, text: '' },
    ]);
    return undefined;
  }
  if (t.kind === 'part') {
    ctx.log.report('call/not-called', { name: span.source.text.slice(span.start, span.end) }, [
      { span, text: '' },
      { span: t.part.span, text: 'it is declared here' },
    ]);
  } else wrongKind(ctx, span, what, 'a tensor', t);
  return undefined;
}

const scalar = (value: number, span: Span): TypedExpr => ({
  kind: 'constant',
  value,
  span,
  types: [{ dtype: 'f32', shape: [] }],
});

/** The element type that a shape names, f32 where it names none. */
export function dtypeOf(ctx: Context, name: Name | undefined): DType | undefined {
  if (!name) return 'f32';
  const dtypes = Object.keys(bytesOf);
  const isDType = (text: string): text is DType => dtypes.includes(text);
  if (isDType(name.text)) return name.text;
  const nearest = nearestName(name.text, dtypes);
  ctx.log.report('name/unknown-type', { name: name.text, nearest }, [
    { span: name.span, text: '' },
  ]);
  return undefined;
}

export const typeOf = (e: TypedExpr): TensorType => present(e.types[0]);

/**
 * The tokens of a step are no axis to compute over: sequences of other users may stand beside each
 * other in it. What is made of rows has rows, and they come first.
 */
function rowsLead(result: TensorType, operands: readonly TensorType[]): boolean {
  const isRow = (d: Dim | undefined): boolean =>
    d !== undefined && (sameDim(d, symbol('t')) || sameDim(d, symbol('c')));
  const has = operands.some((t) => t.shape.some(isRow));
  return (!has || isRow(result.shape[0])) && !result.shape.slice(1).some(isRow);
}

/** An op on typed operands; a mistake is reported at the operands that the op names. */
export function resultOf(
  ctx: Context,
  name: OpName,
  inputs: readonly TypedExpr[],
  attrs: Attrs,
  span: Span,
  state?: string,
): Thing {
  const types = inputs.map(typeOf);
  const inferred = opOf(name).infer(types, attrs);
  if (isProblem(inferred)) {
    const places = inferred.operands.length > 0 ? inferred.operands : [0];
    const labels = places.flatMap((n, i) => {
      const operand = inputs[n];
      if (!operand) return [];
      const own = i === 0 && inputs.length === 1 ? span : operand.span;
      return [{ span: own, text: `this is ${showType(typeOf(operand))}` }];
    });
    ctx.log.report(inferred.problem, { text: inferred.text }, labels, inferred.help);
    return errorThing;
  }
  const strayed = inferred.find((t) => !rowsLead(t, types));
  if (strayed) {
    ctx.log.report('shape/rows', { of: name, found: showType(strayed) }, [{ span, text: '' }]);
    return errorThing;
  }
  return tensorThing({
    kind: 'op',
    op: name,
    inputs,
    attrs,
    span,
    types: inferred,
    ...(state === undefined ? {} : { state }),
  });
}
