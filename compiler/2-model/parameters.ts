/** An instance's parameters as what is told of them outside. */
import type { TemplateAst } from '../1-syntax/ast.ts';
import type { Value } from './model.ts';
import type { Context, Scope, Thing } from './scope.ts';

export function paramsOf(ctx: Context, ast: TemplateAst, scope: Scope): ReadonlyMap<string, Value> {
  return new Map(
    ast.params.flatMap((p): [string, Value][] => {
      const value = toValue(ctx, scope.names.get(p.name.text));
      return value ? [[p.name.text, value]] : [];
    }),
  );
}

/** What `inspect` and sheets may know of a parameter; functions show in the ops that they became. */
function toValue(ctx: Context, t: Thing | undefined): Value | undefined {
  switch (t?.kind) {
    case 'int':
    case 'real':
    case 'bool':
    case 'text':
      return t;
    case 'list':
      return { kind: 'list', items: t.items.flatMap((x) => toValue(ctx, x) ?? []) };
    case 'template':
      return { kind: 'block', name: ctx.astOf(t.template)?.name.text ?? '' };
    case undefined:
    case 'dim':
    case 'error':
    case 'lambda':
    case 'open':
    case 'part':
    case 'tensor':
      return undefined;
  }
}
