/** Repeats: every layer is elaborated with its own choices; equal ones fold into runs of loops. */
import { present } from '../base/invariant.ts';
import type { Span } from '../base/source.ts';
import { sameType, showType } from '../base/type.ts';
import type { StmtAst } from '../1-syntax/ast.ts';
import { concretePath } from './edited.ts';
import { elaborate } from './expressions.ts';
import { type Layer, foldLayers, layerMark, sourceMark } from './fold.ts';
import { choicesOf } from './layer-choices.ts';
import { addAdapters } from './lora.ts';
import type { Body, TypedExpr } from './model.ts';
import { tensorThing, typeOf, wrongKind } from './operands.ts';
import {
  type Context,
  type Place,
  type Scope,
  type Thing,
  describe,
  joinPath,
  lookup,
  makePlace,
  makeScope,
} from './scope.ts';
import { openOf } from './values.ts';

type RepeatAst = Extract<StmtAst, { readonly kind: 'repeat' }>;

export interface RepeatSite {
  readonly ctx: Context;
  readonly scope: Scope;
  readonly place: Place;
  runStatements(
    ctx: Context,
    scope: Scope,
    place: Place,
    statements: readonly StmtAst[],
  ): readonly TypedExpr[] | 'failed' | undefined;
}

/** Tensors that a layer reads as the layer before left them, by name, as they were at first. */
type Carried = Map<string, TypedExpr>;

/** More layers than this are a mistake: no published model comes near. */
const mostLayers = 1 << 10;

/** True unless a mistake was found. */
export function elaborateRepeat(site: RepeatSite, s: RepeatAst): boolean {
  const { ctx, scope, place } = site;
  const count = elaborate(ctx, scope, place, s.count);
  if (count.kind === 'error') return false;
  if (count.kind === 'dim' || count.kind === 'open') return openRepeat(site, s, count);
  if (count.kind !== 'int' || count.value < 1 || count.value > mostLayers) {
    ctx.log.report('repeat/count', { most: mostLayers, found: describe(count) }, [
      { span: s.count.span, text: '' },
    ]);
    return false;
  }
  // Loops do not nest: layers inside layers are written out.
  const nested = place.path.includes(layerMark);
  return nested ? writeOut(site, s, count.value) : foldRepeat(site, s, count.value);
}

function foldRepeat(site: RepeatSite, s: RepeatAst, count: number): boolean {
  const { ctx, scope, place } = site;
  const carried: Carried = new Map();
  const choices = choicesOf(s.body, s.variable.text, scope);
  const known = new Map<string, Body>();
  const layers: Layer[] = [];
  const sources = layersOf(site, s, count);
  const outer = ctx.layer;
  for (const [layer, source] of sources.entries()) {
    const path = joinPath(place.path, s.name.text, String(layer));
    const key = `${choices(source)} ${ctx.edits.keyOf(path)}`;
    ctx.layer = layer;
    const body = known.get(key) ?? elaborateLayer(site, s, source, carried);
    ctx.layer = outer;
    if (!body) return false;
    known.set(key, body);
    layers.push({ body, source, mark: ctx.edits.markOf(path) });
  }
  if (layers.length === 0) return false;
  place.statements.push({
    kind: 'repeat',
    path: joinPath(place.path, s.name.text),
    carried: [...carried].map(([name, e]) => ({ name, type: typeOf(e) })),
    runs: foldLayers(layers),
    span: s.span,
  });
  settle(scope, carried);
  return true;
}

/** Numbers in the text of the layers that edits left; none after a mistake. */
function layersOf({ ctx, place }: RepeatSite, s: RepeatAst, count: number): readonly number[] {
  const found = ctx.edits.layersOf(concretePath(ctx, joinPath(place.path, s.name.text)), count);
  if (!('edit' in found)) return found;
  const { edit, layer } = found;
  ctx.log.report('value/index', { index: layer, length: found.count }, [
    { span: edit.site, text: 'this takes layers' },
    { span: s.count.span, text: 'of this repeat' },
  ]);
  return [];
}

function elaborateLayer(
  site: RepeatSite,
  s: RepeatAst,
  layer: number,
  carried: Carried,
): Body | undefined {
  const own = makePlace(...pathsOf(site.place, s, layerMark, sourceMark));
  if (!runLayer(site, s, own, { kind: 'int', value: layer }, carried)) return undefined;
  addAdapters(site.ctx, own, []);
  return {
    weights: own.weights,
    instances: own.parts.flatMap((p) => p.instance ?? []),
    statements: own.statements,
  };
}

const pathsOf = (
  place: Place,
  s: RepeatAst,
  layer: string,
  source: string,
): readonly [string, string] => [
  joinPath(place.path, s.name.text, layer),
  joinPath(place.source, s.from?.value ?? s.name.text, source),
];

/** Runs the body for one layer; true unless a mistake was found. */
function runLayer(
  site: RepeatSite,
  s: RepeatAst,
  own: Place,
  layer: Thing,
  carried: Carried,
): boolean {
  const { ctx, scope } = site;
  const inner = makeScope(scope.template, scope);
  inner.names.set(s.variable.text, layer);
  inner.fixed.add(s.variable.text);
  const returned = site.runStatements(ctx, inner, own, s.body);
  if (returned === 'failed') return false;
  if (returned) {
    const found = present(returned[0]);
    ctx.log.report('repeat/return', {}, [
      { span: found.span, text: 'this is returned' },
      { span: s.span, text: 'in this repeat' },
    ]);
    return false;
  }
  return carry(ctx, scope, inner, s.span, carried);
}

/** Tensors of the outer scope that the body assigned keep their type from round to round. */
function carry(ctx: Context, outer: Scope, inner: Scope, span: Span, carried: Carried): boolean {
  for (const [name, t] of inner.names) {
    const before = lookup(outer, name);
    if (before?.kind !== 'tensor' || t.kind !== 'tensor') continue;
    const [was, is] = [typeOf(before.expr), typeOf(t.expr)];
    if (!sameType(was, is)) {
      ctx.log.report('repeat/changed', { name, before: showType(was), after: showType(is) }, [
        { span: t.expr.span, text: `this is ${showType(is)}` },
        { span, text: 'in this repeat' },
      ]);
      return false;
    }
    carried.set(name, before.expr);
  }
  return true;
}

function settle(scope: Scope, carried: Carried): void {
  for (const [name, { span, types }] of carried) {
    scope.names.set(name, tensorThing({ kind: 'local', name, span, types }));
  }
}

/** Each layer's statements after the other in the surrounding body. */
function writeOut(site: RepeatSite, s: RepeatAst, count: number): boolean {
  const { scope, place } = site;
  const carried: Carried = new Map();
  const sources = layersOf(site, s, count);
  for (const [layer, from] of sources.entries()) {
    const [path, source] = pathsOf(place, s, String(layer), String(from));
    const own: Place = { ...place, path, source };
    if (!runLayer(site, s, own, { kind: 'int', value: from }, carried)) return false;
    settle(scope, carried);
  }
  return sources.length > 0;
}

/** A block checked alone runs the body once, for a layer that it does not know. */
function openRepeat(site: RepeatSite, s: RepeatAst, count: Thing): boolean {
  if (site.ctx.mode !== 'open') {
    wrongKind(site.ctx, s.count.span, 'the count of a repeat', 'a whole number', count);
    return false;
  }
  const carried: Carried = new Map();
  const own = makePlace(...pathsOf(site.place, s, layerMark, sourceMark));
  if (!runLayer(site, s, own, openOf('int'), carried)) return false;
  settle(site.scope, carried);
  return true;
}
