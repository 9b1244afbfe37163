/** Things to the kinds that parameters and attributes ask for. */
import { nearestName } from '../base/messages.ts';
import type { Span } from '../base/source.ts';
import type { AttrKind, AttrValue } from '../ops/op.ts';
import type { ParamDecl, TypeAst } from '../1-syntax/ast.ts';
import { type Hole, isTemplate } from '../1-syntax/template.ts';
import { type Context, type Thing, describe, errorThing } from './scope.ts';

/** A hole's value as a thing. */
export function fromHole(h: Hole): Thing {
  if (typeof h === 'number') return { kind: Number.isInteger(h) ? 'int' : 'real', value: h };
  if (typeof h === 'boolean') return { kind: 'bool', value: h };
  if (typeof h === 'string') return { kind: 'text', value: h };
  if (isTemplate(h)) return { kind: 'template', template: h };
  return { kind: 'list', items: h.map(fromHole) };
}

const typeNames = ['int', 'real', 'bool', 'text', 'block', 'fn'];

export const showTypeAst = (t: TypeAst): string =>
  t.kind === 'list' ? `[${showTypeAst(t.of)}]` : t.name.text;

/** `given` as a parameter of the declared type, or a mistake at `span`. */
export function asParam(ctx: Context, p: ParamDecl, given: Thing, of: string, span: Span): Thing {
  if (!checkType(ctx, p.type)) return errorThing;
  const fitted = fit(p.type, given);
  if (fitted) return fitted;
  ctx.log.report(
    'type/kind',
    {
      what: `${of}: the argument ${p.name.text}`,
      expected: showTypeAst(p.type),
      found: describe(given),
    },
    [{ span, text: '' }],
  );
  return errorThing;
}

function checkType(ctx: Context, t: TypeAst): boolean {
  if (t.kind === 'list') return checkType(ctx, t.of);
  if (typeNames.includes(t.name.text)) return true;
  const nearest = nearestName(t.name.text, typeNames);
  ctx.log.report('name/unknown-type', { name: t.name.text, nearest }, [
    { span: t.name.span, text: '' },
  ]);
  return false;
}

function fit(type: TypeAst, t: Thing): Thing | undefined {
  if (t.kind === 'error') return t;
  if (type.kind === 'list') {
    if (t.kind !== 'list') return undefined;
    const items = t.items.map((x) => fit(type.of, x));
    return items.every((x) => x !== undefined) ? { kind: 'list', items } : undefined;
  }
  switch (type.name.text) {
    case 'int':
      return t.kind === 'int' ? t : undefined;
    case 'real':
      return t.kind === 'int' || t.kind === 'real' ? { kind: 'real', value: t.value } : undefined;
    case 'bool':
      return t.kind === 'bool' ? t : undefined;
    case 'text':
      return t.kind === 'text' ? t : undefined;
    case 'block':
      return t.kind === 'template' ? t : undefined;
    case 'fn':
      return t.kind === 'lambda' ? t : undefined;
    default:
      return undefined;
  }
}

/** A thing as an attribute of an op; functions are lowered by the caller. */
export function asAttr(kind: Exclude<AttrKind, 'fn'>, t: Thing): AttrValue | undefined {
  switch (kind) {
    case 'int':
      return t.kind === 'int' ? t.value : undefined;
    case 'real':
      return t.kind === 'int' || t.kind === 'real' ? t.value : undefined;
    case 'bool':
      return t.kind === 'bool' ? t.value : undefined;
    case 'text':
      return t.kind === 'text' ? t.value : undefined;
    case 'ints':
    case 'reals': {
      if (t.kind !== 'list') return undefined;
      const values = t.items.flatMap((x) =>
        x.kind === 'int' || (x.kind === 'real' && kind === 'reals') ? [x.value] : [],
      );
      return values.length === t.items.length ? values : undefined;
    }
  }
}
