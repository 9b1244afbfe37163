/** Calls: ops, instances, blocks without weights, and functions of compile-time values. */
import { present } from '../base/invariant.ts';
import { nearestName } from '../base/messages/nearest.ts';
import type { Span } from '../base/source.ts';
import { sameType, showType } from '../base/type.ts';
import { type OpName, isOpName, opOf, ops } from '../ops/index.ts';
import type { AttrSpec, AttrValue, Attrs } from '../ops/op.ts';
import type { ArgAst, ExprAst } from '../1-syntax/ast.ts';
import type { Template } from '../1-syntax/template.ts';
import { asAttr, fromHole, openAttr } from './arguments.ts';
import { checkArguments } from './givens.ts';
import { handedTo } from './handed.ts';
import { lowerLambda } from './lambda.ts';
import type { Instance, TypedExpr } from './model.ts';
import { operandOf, resultOf, typeOf } from './operands.ts';
import {
  type Context,
  type Part,
  type Place,
  type Scope,
  type Thing,
  describe,
  errorThing,
  joinPath,
  lookup,
  namesIn,
} from './scope.ts';
import { callValue, valueFunctions } from './values.ts';
import { withinBody } from './walk.ts';

export interface CallSite {
  readonly ctx: Context;
  readonly scope: Scope;
  readonly place: Place;
  elaborate(e: ExprAst): Thing;
  /** The same in another scope: what a function takes from around it. */
  elaborateIn(e: ExprAst, scope: Scope): Thing;
}

/** What an op's cached operands go through; templates do not call it. */
const cacheOp = 'cache';

type CallAst = Extract<ExprAst, { kind: 'call' }>;

export function callOf(site: CallSite, e: CallAst): Thing {
  const { callee } = e;
  const own = calleeThing(site, callee);
  if (own?.kind === 'error' || own?.kind === 'open') return errorThing;
  if (own?.kind === 'part') return callPart(site, own.part, e);
  if (own?.kind === 'template') return callBlock(site, own.template, e);
  if (callee.kind !== 'name' || own) {
    const name = callee.kind === 'name' ? callee.name : own ? describe(own) : 'this';
    site.ctx.log.report('call/not-callable', { name }, [{ span: callee.span, text: '' }]);
    return errorThing;
  }
  const args = e.args.map((a) => ({ ast: a, value: site.elaborate(a.value) }));
  if (args.some((a) => a.value.kind === 'error')) return errorThing;
  if (args.every((a) => a.value.kind !== 'tensor' && !a.ast.name)) {
    const value = callValue(
      callee.name,
      args.map((a) => a.value),
    );
    if (value) return value;
  }
  if (isOpName(callee.name) && callee.name !== cacheOp) {
    return callOp(site, callee.name, args, e.span);
  }
  if (valueFunctions.includes(callee.name)) {
    const what = `${callee.name}(${args.map((a) => describe(a.value)).join(', ')})`;
    site.ctx.log.report('value/function', { what }, [{ span: e.span, text: '' }]);
    return errorThing;
  }
  const callable = Object.keys(ops).filter((name) => name !== cacheOp);
  const known = [...namesIn(site.scope), ...callable, ...valueFunctions];
  const nearest = nearestName(callee.name, known);
  site.ctx.log.report('name/unknown-op', { name: callee.name, nearest }, [
    { span: callee.span, text: '' },
  ]);
  return errorThing;
}

/** The thing that a callee names in scope; undefined for names of ops and functions. */
function calleeThing(site: CallSite, callee: ExprAst): Thing | undefined {
  if (callee.kind === 'hole') {
    return fromHole(site.ctx.log, site.scope.template.holes[callee.index], callee.span);
  }
  if (callee.kind === 'name') return lookup(site.scope, callee.name);
  return site.elaborate(callee);
}

/** Calls an instance: elaborated for its first arguments, the same for all others. */
function callPart(site: CallSite, part: Part, e: CallAst): Thing {
  const { ctx } = site;
  const named = e.args.find((a) => a.name);
  if (named?.name) {
    ctx.log.report(
      'name/unknown-argument',
      { name: named.name.text, of: `the instance ${part.path}`, nearest: undefined },
      [{ span: named.name.span, text: '' }],
      'parameters are given where the instance is declared with use',
    );
    return errorThing;
  }
  const inputs = e.args.map((a) => inputOf(site, a));
  if (ctx.mode === 'exact' && inputs.some((x) => !x)) return errorThing;
  const spec = { ...part, span: e.span };
  const instance = part.instance ?? ctx.instantiate(spec, inputs);
  if (!instance) return errorThing;
  // A layer that calls an instance of outside does so in every iteration.
  const inLayers = ctx.layer !== undefined && !site.place.parts.includes(part);
  if ((part.instance || inLayers) && ctx.mode === 'exact' && keepsState(instance)) {
    ctx.log.report('call/state-twice', { name: textOf(e.callee.span) }, [
      { span: e.span, text: '' },
      part.instance
        ? { span: part.instance.span, text: 'its first call is here' }
        : { span: part.span, text: 'it is declared outside of the layers' },
    ]);
    return errorThing;
  }
  part.instance = instance;
  return resultThing(ctx, instance, inputs, e.span);
}

/** Calls a block directly: it must own no weights, for those need a name. */
function callBlock(site: CallSite, template: Template, e: CallAst): Thing {
  const { place, ctx } = site;
  const ast = ctx.astOf(template);
  if (!ast) return errorThing;
  const positional = e.args.filter((a) => !a.name);
  const inputs = positional.slice(0, ast.inputs.length).map((a) => inputOf(site, a));
  const params = [...positional.slice(ast.inputs.length), ...e.args.filter((a) => a.name)];
  const args = params.map((a) => ({
    name: a.name,
    value: site.elaborate(a.value),
    span: a.value.span,
  }));
  if (!checkArguments(ctx, template, args, e.callee.span)) return errorThing;
  if (ctx.mode === 'exact' && inputs.some((x) => !x)) return errorThing;
  const name = freshName(place, 'call', '');
  const path = joinPath(place.path, name);
  const source = joinPath(place.source, name);
  const instance = ctx.instantiate({ path, source, template, args, span: e.span }, inputs);
  if (!instance) return errorThing;
  if (ownsWeights(instance)) {
    ctx.log.report('block/weights-without-name', { name: instance.block }, [
      { span: e.callee.span, text: '' },
    ]);
    return errorThing;
  }
  return resultThing(ctx, instance, inputs, e.span);
}

const ownsWeights = (i: Instance): boolean =>
  i.body.weights.length > 0 || i.body.instances.some(ownsWeights);

const textOf = ({ source, start, end }: Span): string => source.text.slice(start, end);

const keepsState = ({ body, results }: Instance): boolean =>
  [...withinBody(body, results)].some((x) => x.kind === 'op' && x.state !== undefined);

const inputOf = (site: CallSite, a: ArgAst): TypedExpr | undefined =>
  operandOf(site.ctx, site.elaborate(a.value), a.value.span, 'an argument');

/** The call as an expression; the instance's inputs must fit these arguments too. */
function resultThing(
  ctx: Context,
  instance: Instance,
  given: readonly (TypedExpr | undefined)[],
  span: Span,
): Thing {
  const handed = handedTo(instance, span);
  const inputs = [...given.filter((x) => x !== undefined), ...handed];
  const [most, found] = [instance.inputs.length - handed.length, given.length];
  if (most !== found) {
    const labels = [{ span, text: '' }];
    const missing = found < most ? instance.inputs[found] : undefined;
    if (missing) {
      ctx.log.report('call/missing-argument', { name: missing.name, of: instance.block }, labels);
    } else ctx.log.report('call/too-many', { of: instance.block, most, found }, labels);
    return errorThing;
  }
  for (const [i, { name, type }] of instance.inputs.entries()) {
    const x = inputs[i];
    if (!x || sameType(typeOf(x), type)) continue;
    const [expected, actual] = [showType(type), showType(typeOf(x))];
    ctx.log.report('shape/argument', { of: instance.block, name, expected, found: actual }, [
      { span: x.span, text: `this is ${actual}` },
      { span: instance.span, text: `its first call had ${expected}` },
    ]);
    return errorThing;
  }
  if (inputs.length !== instance.inputs.length) return errorThing;
  const types = instance.results.map((r) => present(r.types[0]));
  return { kind: 'tensor', expr: { kind: 'call', instance, inputs, span, types } };
}

type Argument = { readonly ast: ArgAst; readonly value: Thing };

function callOp(site: CallSite, name: OpName, args: readonly Argument[], span: Span): Thing {
  const def = opOf(name);
  const positional = args.filter((a) => !a.ast.name);
  const operands = positional.slice(0, def.operands.length);
  const missing = def.operands[operands.length];
  if (missing !== undefined) {
    site.ctx.log.report('call/missing-argument', { name: missing, of: name }, [{ span, text: '' }]);
    return errorThing;
  }
  const inputs = operands.map((a) => operandOf(site.ctx, a.value, a.ast.value.span, name));
  const captures: Capture[] = [];
  const extra = positional.slice(def.operands.length);
  const attrs = attrsOf(site, name, args, extra, span, captures);
  if (!attrs || inputs.some((x) => x === undefined)) return errorThing;
  const typed = inputs.map((x) => present(x));
  const cached = typed.map((x, i) =>
    def.cached?.includes(i) ? throughCache(site, present(def.operands[i]), x) : x,
  );
  for (const { x, cached: through } of captures) {
    cached.push(
      through ? throughCache(site, x.kind === 'local' ? hintOf(x.name) : 'captured', x) : x,
    );
  }
  if (cached.some((x) => x === undefined)) return errorThing;
  const state = def.state ? stateName(site.place, name) : undefined;
  return resultOf(
    site.ctx,
    name,
    cached.map((x) => present(x)),
    attrs,
    span,
    state,
  );
}

/** A name's last part: one that the block around handed in has several. */
const hintOf = (name: string): string => name.slice(name.lastIndexOf('.') + 1);

/** The operand's rows go through the cache, in a state named after the instance and the operand. */
function throughCache(site: CallSite, hint: string, x: TypedExpr): TypedExpr | undefined {
  const thing = resultOf(site.ctx, cacheOp, [x], {}, x.span, stateName(site.place, hint));
  return thing.kind === 'tensor' ? thing.expr : undefined;
}

const stateName = (place: Place, hint: string): string =>
  joinPath(place.path, freshName(place, hint, ''));

/** `hint`, or with the first number behind it that makes it new in the instance. */
function freshName(place: Place, hint: string, number: number | ''): string {
  const name = `${hint}${number}`;
  if (place.states.has(name)) return freshName(place, hint, number === '' ? 1 : number + 1);
  place.states.add(name);
  return name;
}

function attrsOf(
  site: CallSite,
  name: OpName,
  args: readonly Argument[],
  extra: readonly Argument[],
  span: Span,
  captures: Capture[],
): Attrs | undefined {
  const specs = Object.entries(opOf(name).attrs);
  const { log } = site.ctx;
  const values: Record<string, AttrValue> = {};
  let failed = false;
  const give = (key: string, spec: AttrSpec, a: Argument): void => {
    const value = attrValue(site, name, spec, a, captures);
    if (value !== undefined) values[key] = value;
    else {
      failed = true;
      // Not known in a block that is checked alone: neither is what hangs on it.
      if (a.value.kind === 'open' || a.value.kind === 'error') return;
      if (site.ctx.mode === 'open' && a.value.kind === 'dim') return;
      if (spec.kind === 'fn' && a.value.kind === 'lambda') return; // already reported
      const what = `${name}: ${key}`;
      log.report('type/kind', { what, expected: kindText(spec.kind), found: describe(a.value) }, [
        { span: a.ast.value.span, text: '' },
      ]);
    }
  };
  extra.forEach((a, i) => {
    const spec = specs[i];
    if (spec) return give(spec[0], spec[1], a);
    failed = true;
    const most = opOf(name).operands.length + specs.length;
    log.report('call/too-many', { of: name, most, found: args.length }, [
      { span: a.ast.value.span, text: '' },
    ]);
  });
  for (const a of args) {
    if (!a.ast.name) continue;
    const key = a.ast.name.text;
    const spec = specs.find(([k]) => k === key);
    if (spec) {
      if (values[key] !== undefined) {
        failed = true;
        log.report('call/argument-twice', { name: key, of: name }, [
          { span: a.ast.name.span, text: '' },
        ]);
      } else give(key, spec[1], a);
      continue;
    }
    failed = true;
    if (opOf(name).operands.includes(key)) {
      log.report('call/tensor-by-name', { name: key, of: name }, [
        { span: a.ast.name.span, text: '' },
      ]);
      continue;
    }
    const nearest = nearestName(
      key,
      specs.map(([k]) => k),
    );
    log.report('name/unknown-argument', { name: key, of: name, nearest }, [
      { span: a.ast.name.span, text: '' },
    ]);
  }
  for (const [key, spec] of specs) {
    if (values[key] !== undefined) continue;
    if (spec.default !== undefined) values[key] = spec.default;
    else if (!failed) {
      failed = true;
      log.report('call/missing-argument', { name: key, of: name }, [{ span, text: '' }]);
    }
  }
  return failed ? undefined : values;
}

/** A tensor that functions of a call read. */
interface Capture {
  readonly x: TypedExpr;
  /** At the key of a pair, so through the cache. */
  readonly cached: boolean;
}

function attrValue(
  site: CallSite,
  name: OpName,
  spec: AttrSpec,
  a: Argument,
  captures: Capture[],
): AttrValue | undefined {
  const { kind } = a.value;
  if (site.ctx.mode === 'open' && (kind === 'open' || kind === 'dim')) {
    return openAttr(spec.kind, spec.default);
  }
  if (spec.kind !== 'fn') return asAttr(spec.kind, a.value);
  if (a.value.kind !== 'lambda') return undefined;
  const capture = (x: TypedExpr, cached: boolean): number => {
    const had = captures.findIndex((c) => c.cached === cached && sameValue(c.x, x));
    if (had < 0) captures.push({ x, cached });
    return opOf(name).operands.length + (had < 0 ? captures.length - 1 : had);
  };
  const { ctx } = site;
  const outside = (e: ExprAst, own: Scope): Thing => site.elaborateIn(e, own);
  return lowerLambda({ ctx, outside, capture }, a.value, spec);
}

const sameValue = (a: TypedExpr, b: TypedExpr): boolean =>
  a === b ||
  (a.kind === 'local' && b.kind === 'local' && a.name === b.name) ||
  (a.kind === 'weight' && b.kind === 'weight' && a.weight.path === b.weight.path) ||
  (a.kind === 'step' && b.kind === 'step' && a.field === b.field);

const kindText = (kind: AttrSpec['kind']): string =>
  ({
    int: 'a whole number',
    real: 'a number',
    bool: 'a truth value',
    text: 'a text',
    ints: 'a list of whole numbers',
    reals: 'a list of numbers',
    fn: 'a function such as |i, j| j <= i',
  })[kind];
