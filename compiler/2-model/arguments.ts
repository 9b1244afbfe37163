/** Things to the kinds that parameters and attributes ask for. */
import type { Log } from '../base/diagnostic.ts';
import { nearestName } from '../base/messages/nearest.ts';
import type { Span } from '../base/source.ts';
import type { AttrKind, AttrValue } from '../ops/op.ts';
import type { ParamDecl, TypeAst } from '../1-syntax/ast.ts';
import { type Hole, isTemplate, openHole } from '../1-syntax/template.ts';
import { type Context, type Thing, describe, errorThing, isError, showTypeAst } from './scope.ts';

/**
 * A hole's value, or a model's parameter, as a thing. Templates written in JavaScript may hold
 * anything: what the language has no value for is reported at `span`.
 */
export function fromHole(log: Log, hole: Hole | undefined, span: Span): Thing {
  const thing = thingOf(hole);
  if (thing) return thing;
  log.report('value/hole', { found: showForeign(hole) }, [{ span, text: '' }]);
  return errorThing;
}

function thingOf(hole: unknown): Thing | undefined {
  if (typeof hole === 'number') {
    if (!Number.isFinite(hole)) return undefined;
    return { kind: Number.isSafeInteger(hole) ? 'int' : 'real', value: hole };
  }
  if (typeof hole === 'boolean') return { kind: 'bool', value: hole };
  if (typeof hole === 'string') return { kind: 'text', value: hole };
  if (isTemplate(hole)) return { kind: 'template', template: hole };
  if (hole === openHole) return { kind: 'open', type: undefined };
  if (!Array.isArray(hole)) return undefined;
  const items = hole.map(thingOf).filter((t) => t !== undefined);
  return items.length === hole.length ? { kind: 'list', items } : undefined;
}

function showForeign(value: unknown): string {
  if (typeof value === 'number' || value === undefined || value === null) return String(value);
  return Array.isArray(value) ? 'a list with such a value' : `a ${typeof value}`;
}

const typeNames = ['int', 'real', 'bool', 'text', 'block', 'fn'];

/** `given` as a parameter of the declared type, or a mistake at `span`. */
export function asParam(ctx: Context, p: ParamDecl, given: Thing, of: string, span: Span): Thing {
  if (isError(given) || !checkType(ctx, p.type)) return errorThing;
  const fitted = fit(p.type, given);
  if (fitted) return fitted;
  const what = `${of}: the argument ${p.name.text}`;
  ctx.log.report('type/kind', { what, expected: showTypeAst(p.type), found: describe(given) }, [
    { span, text: '' },
    { span: p.name.span, text: 'the parameter is declared here' },
  ]);
  return errorThing;
}

export function checkType(ctx: Context, t: TypeAst): boolean {
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
  if (t.kind === 'open') return fitOpen(type, t);
  if (type.kind === 'list') {
    if (t.kind !== 'list') return undefined;
    const items = t.items.map((x) => fit(type.of, x)).filter((x) => x !== undefined);
    return items.length === t.items.length ? { kind: 'list', items } : undefined;
  }
  switch (type.name.text) {
    case 'int':
      return t.kind === 'int' || t.kind === 'dim' ? t : undefined;
    case 'real':
      if (t.kind === 'dim') return { kind: 'open', type };
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

function fitOpen(type: TypeAst, t: Extract<Thing, { kind: 'open' }>): Thing | undefined {
  if (!t.type) return { kind: 'open', type };
  const [wanted, found] = [showTypeAst(type), showTypeAst(t.type)];
  return wanted === found || wanted === found.replace('int', 'real')
    ? { kind: 'open', type }
    : undefined;
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

/**
 * What stands for an attribute that a block checked alone does not know, where any value gives the
 * same types; undefined where the types hang on it.
 */
export function openAttr(kind: AttrKind, byDefault: AttrValue | undefined): AttrValue | undefined {
  switch (kind) {
    case 'real':
      return byDefault ?? 1;
    case 'bool':
      return byDefault ?? false;
    case 'text':
    case 'fn':
      return byDefault;
    case 'int':
    case 'ints':
    case 'reals':
      return undefined;
  }
}
