/** Calls: ops, instances, blocks without weights, and functions of compile-time values. */
import { present } from '../base/invariant.ts';
import { nearestName } from '../base/messages.ts';
import type { Span } from '../base/source.ts';
import { type OpName, isOpName, opOf, ops } from '../ops/index.ts';
import type { AttrSpec, AttrValue, Attrs } from '../ops/op.ts';
import type { ArgAst, ExprAst } from '../1-syntax/ast.ts';
import { asAttr, fromHole } from './arguments.ts';
import { lowerLambda } from './lambda.ts';
import type { Instance, TypedExpr } from './model.ts';
import { operandOf, resultOf } from './operands.ts';
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

export interface CallSite {
  readonly ctx: Context;
  readonly scope: Scope;
  readonly place: Place;
  elaborate(e: ExprAst): Thing;
  /** The same in another scope: what a function takes from around it. */
  elaborateIn(e: ExprAst, scope: Scope): Thing;
}

type CallAst = Extract<ExprAst, { kind: 'call' }>;

export function callOf(site: CallSite, e: CallAst): Thing {
  const { callee } = e;
  const own = calleeThing(site, callee);
  if (own?.kind === 'error') return errorThing;
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
  if (isOpName(callee.name)) return callOp(site, callee.name, args, e.span);
  const known = [...namesIn(site.scope), ...Object.keys(ops), ...valueFunctions];
  const nearest = nearestName(callee.name, known);
  site.ctx.log.report('name/unknown-op', { name: callee.name, nearest }, [
    { span: callee.span, text: '' },
  ]);
  return errorThing;
}

/** The thing that a callee names in scope; undefined for names of ops and functions. */
function calleeThing(site: CallSite, callee: ExprAst): Thing | undefined {
  if (callee.kind === 'hole') return fromHole(present(site.scope.template.holes[callee.index]));
  if (callee.kind === 'name') return lookup(site.scope, callee.name);
  return site.elaborate(callee);
}

/** Calls an instance: elaborated for its first arguments, the same for all others. */
function callPart(site: CallSite, part: Part, e: CallAst): Thing {
  const named = e.args.find((a) => a.name);
  if (named?.name) {
    site.ctx.log.report(
      'name/unknown-argument',
      { name: named.name.text, of: `the instance ${part.path}`, nearest: undefined },
      [{ span: named.name.span, text: '' }],
      'parameters are given where the instance is declared with use',
    );
    return errorThing;
  }
  const inputs = operandsOf(site, e.args);
  if (!inputs) return errorThing;
  const instance = part.instance ?? site.ctx.instantiate(part, inputs);
  if (!instance) return errorThing;
  part.instance = instance;
  return resultThing(site, instance, inputs, e.span);
}

/** Calls a block directly: it must own no weights, for those need a name. */
function callBlock(site: CallSite, template: Part['template'], e: CallAst): Thing {
  const { place, ctx } = site;
  const inputs = operandsOf(
    site,
    e.args.filter((a) => !a.name),
  );
  const args = new Map(
    e.args.flatMap((a) => (a.name ? [[a.name.text, site.elaborate(a.value)]] : [])),
  );
  if (!inputs) return errorThing;
  const name = `call${place.states.size}`;
  const path = joinPath(place.path, name);
  const instance = ctx.instantiate(
    { path, source: joinPath(place.source, name), template, args, span: e.span },
    inputs,
  );
  if (!instance) return errorThing;
  if (ownsWeights(instance)) {
    ctx.log.report('block/weights-without-name', { name: instance.block }, [
      { span: e.callee.span, text: '' },
    ]);
    return errorThing;
  }
  return resultThing(site, instance, inputs, e.span);
}

const ownsWeights = (i: Instance): boolean =>
  i.body.weights.length > 0 || i.body.instances.some(ownsWeights);

function operandsOf(site: CallSite, args: readonly ArgAst[]): readonly TypedExpr[] | undefined {
  const inputs = args.map((a) =>
    operandOf(site.ctx, site.elaborate(a.value), a.value.span, 'an argument'),
  );
  const found = inputs.filter((x) => x !== undefined);
  return found.length === inputs.length ? found : undefined;
}

function resultThing(
  site: CallSite,
  instance: Instance,
  inputs: readonly TypedExpr[],
  span: Span,
): Thing {
  const wrong = instance.inputs.length !== inputs.length;
  if (wrong) {
    site.ctx.log.report(
      'call/too-many',
      { of: instance.block, most: instance.inputs.length, found: inputs.length },
      [{ span, text: '' }],
    );
    return errorThing;
  }
  return {
    kind: 'tensor',
    expr: {
      kind: 'call',
      instance,
      inputs,
      span,
      types: instance.results.map((r) => present(r.types[0])),
    },
  };
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
  const attrs = attrsOf(site, name, args, positional.slice(def.operands.length), span);
  if (!attrs || inputs.some((x) => x === undefined)) return errorThing;
  const typed = inputs.map((x) => present(x));
  const cached = typed.map((x, i) =>
    def.cached?.includes(i) ? throughCache(site, name, i, x) : x,
  );
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

/** The operand's rows go through the cache, in a state named after the instance and the operand. */
function throughCache(
  site: CallSite,
  name: OpName,
  operand: number,
  x: TypedExpr,
): TypedExpr | undefined {
  const hint = present(opOf(name).operands[operand]);
  const thing = resultOf(site.ctx, 'cache', [x], {}, x.span, stateName(site.place, hint));
  return thing.kind === 'tensor' ? thing.expr : undefined;
}

function stateName(place: Place, hint: string): string {
  let name = joinPath(place.path, hint);
  for (let n = 1; place.states.has(name); n++) name = joinPath(place.path, `${hint}${n}`);
  place.states.add(name);
  return name;
}

function attrsOf(
  site: CallSite,
  name: OpName,
  args: readonly Argument[],
  extra: readonly Argument[],
  span: Span,
): Attrs | undefined {
  const specs = Object.entries(opOf(name).attrs);
  const { log } = site.ctx;
  const values: Record<string, AttrValue> = {};
  let failed = false;
  const give = (key: string, spec: AttrSpec, a: Argument): void => {
    const value = attrValue(site, spec, a);
    if (value !== undefined) values[key] = value;
    else {
      failed = true;
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
      give(key, spec[1], a);
      continue;
    }
    failed = true;
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

function attrValue(site: CallSite, spec: AttrSpec, a: Argument): AttrValue | undefined {
  if (spec.kind !== 'fn') return asAttr(spec.kind, a.value);
  if (a.value.kind !== 'lambda') return undefined;
  return lowerLambda(site.ctx, a.value, spec, (e, scope) => site.elaborateIn(e, scope));
}

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
