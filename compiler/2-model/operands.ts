/** Typed operands and results of ops. */
import { present } from '../base/invariant.ts';
import type { Span } from '../base/source.ts';
import { type TensorType, showType } from '../base/type.ts';
import { type OpName, opOf } from '../ops/index.ts';
import { type Attrs, isProblem } from '../ops/op.ts';
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
  if (t.kind === 'int' || t.kind === 'real') {
    return { kind: 'constant', value: t.value, span, types: [{ dtype: 'f32', shape: [] }] };
  }
  if (t.kind === 'tensor') {
    if (t.expr.types.length === 1) return t.expr;
    ctx.log.report('call/results', { of: what, found: t.expr.types.length, expected: 1 }, [
      { span, text: '' },
    ]);
    return undefined;
  }
  wrongKind(ctx, span, what, 'a tensor', t);
  return undefined;
}

export const typeOf = (e: TypedExpr): TensorType => present(e.types[0]);

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
    ctx.log.add({
      code: inferred.problem,
      text: inferred.text,
      labels: places.flatMap((n, i) => {
        const operand = inputs[n];
        if (!operand) return [];
        return [
          {
            span: i === 0 && inputs.length === 1 ? span : operand.span,
            text: `this is ${showType(typeOf(operand))}`,
          },
        ];
      }),
      ...(inferred.help === undefined ? {} : { help: inferred.help }),
    });
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
