/** Blocks elaborated for given parameters and arguments: sizes are bound, then the body runs. */
import { type Dim, constantDim, sameDim, showDim, showShape, symbol } from '../base/dim.ts';
import type { Log } from '../base/diagnostic.ts';
import { present } from '../base/invariant.ts';
import type { Span } from '../base/source.ts';
import { type TensorType, showType } from '../base/type.ts';
import type {
  ExprAst,
  Name,
  ParamDecl,
  ShapeAst,
  TemplateAst,
  TensorDecl,
} from '../1-syntax/ast.ts';
import { parse } from '../1-syntax/parse.ts';
import type { Template } from '../1-syntax/template.ts';
import { asParam, checkType } from './arguments.ts';
import { type EditBook, makeEditBook } from './edits.ts';
import { dimOf, elaborate, mostSteps } from './expressions.ts';
import { addAdapters } from './lora.ts';
import type { Body, Instance, InstanceInput, TypedExpr } from './model.ts';
import { dtypeOf, tensorThing, typeOf } from './operands.ts';
import {
  type Context,
  type Observer,
  type Part,
  type Place,
  type Scope,
  type Thing,
  errorThing,
  lookup,
  makePlace,
  makeScope,
} from './scope.ts';
import { paramsOf } from './parameters.ts';
import { runStatements } from './statements.ts';
import { warnUnused } from './unused.ts';

type PartSpec = Omit<Part, 'instance'>;
type Inputs = readonly (TypedExpr | undefined)[];

/** A context whose blocks are parsed once each. */
export function makeContext(
  log: Log,
  mode: Context['mode'],
  observe?: Observer,
  edits: EditBook = makeEditBook([], new Map()),
  parsed: Map<Template, TemplateAst | undefined> = new Map(),
): Context {
  const ctx: Context = {
    log,
    mode,
    budget: { left: mostSteps },
    ...(observe ? { observe } : {}),
    stack: [],
    edits,
    layer: undefined,
    shared: [],
    adapted: new Map(),
    astOf(t) {
      const first = !parsed.has(t);
      const ast = first ? parse(t, log) : parsed.get(t);
      parsed.set(t, ast);
      if (first && ast) warnUnused(ast, log);
      const alone = mode === 'open' && ctx.stack.length === 0;
      return ast?.partial && !alone ? undefined : ast;
    },
    instantiate(part, inputs) {
      const ast = ctx.astOf(part.template);
      if (!ast) return undefined;
      const name = ast.name.text;
      if (ctx.stack.some((s) => s.template === part.template)) {
        const path = [...ctx.stack.map((s) => s.name), name].join(' -> ');
        log.report('block/cycle', { path }, [{ span: part.span, text: '' }]);
        return undefined;
      }
      const scope = makeScope(part.template);
      const handed: InstanceInput[] = [];
      ctx.stack.push({ template: part.template, name, scope, handed });
      const built = build(ctx, ast, part, inputs, scope);
      const instance = built && { ...built, inputs: [...built.inputs, ...handed] };
      ctx.stack.pop();
      return instance;
    },
  };
  return ctx;
}

function build(
  ctx: Context,
  ast: TemplateAst,
  part: PartSpec,
  inputs: Inputs,
  scope: Scope,
): Instance | undefined {
  const place = makePlace(part.path, part.source);
  define(scope, 't', { kind: 'dim', dim: symbol('t') });
  if (!checkNames(ctx, ast)) return undefined;
  if (!bindGiven(ctx, ast, part, scope)) return undefined;
  if (ctx.mode === 'open' && ctx.stack.length === 1) openParams(ast, scope);
  if (!bindInputs(ctx, ast, part, inputs, scope)) return undefined;
  if (!bindDefaults(ctx, ast, part, scope, place)) return undefined;
  for (const { name } of ctx.observe ? [...ast.inputs, ...ast.params] : []) {
    ctx.observe?.(name.span, scope.names.get(name.text) ?? errorThing);
  }
  const known = inputs.every((x) => x !== undefined);
  const returned = resultsOf(ctx, ast, scope, place) ?? declared(ctx, ast, scope, place);
  if (!returned || !known) return undefined;
  const results = addAdapters(ctx, place, returned);
  return {
    path: part.path,
    block: ast.name.text,
    params: paramsOf(ctx, ast, scope),
    inputs: ast.inputs.map((t, i) => ({ name: t.name.text, type: typeOf(present(inputs[i])) })),
    body: bodyOf(place),
    results,
    span: part.span,
  };
}

export const bodyOf = (place: Place): Body => ({
  weights: place.weights,
  instances: place.parts.flatMap((p) => p.instance ?? []),
  statements: place.statements,
});

function define(scope: Scope, name: string, thing: Thing): void {
  scope.names.set(name, thing);
  scope.fixed.add(name);
}

/** Inputs and parameters have names of their own, and types that exist. */
function checkNames(ctx: Context, ast: TemplateAst): boolean {
  const seen = new Set(['t']);
  const names: Name[] = [...ast.inputs.map((i) => i.name), ...ast.params.map((p) => p.name)];
  const repeated = names.filter((n) => seen.has(n.text) || !seen.add(n.text));
  for (const { text, span } of repeated) {
    const code = text === 't' ? 'name/reserved' : 'name/repeated';
    ctx.log.report(code, { name: text }, [{ span, text: '' }]);
  }
  const typed = ast.params.filter((p) => checkType(ctx, p.type));
  return repeated.length === 0 && typed.length === ast.params.length;
}

function bindGiven(ctx: Context, ast: TemplateAst, part: PartSpec, scope: Scope): boolean {
  const of = ast.name.text;
  let good = true;
  let position = 0;
  for (const given of part.args) {
    const p = given.name
      ? ast.params.find((x) => x.name.text === given.name?.text)
      : ast.params[position++];
    if (!p) {
      ctx.log.report('call/too-many', { of, most: ast.params.length, found: part.args.length }, [
        { span: given.span, text: '' },
      ]);
      return false;
    }
    if (scope.names.has(p.name.text)) {
      ctx.log.report('call/argument-twice', { name: p.name.text, of }, [
        { span: given.span, text: '' },
      ]);
      good = false;
      continue;
    }
    const fitted = asParam(ctx, p, given.value, of, given.span);
    if (fitted.kind === 'error') good = false;
    define(scope, p.name.text, fitted);
  }
  return good;
}

/** Binds the sizes that input shapes name, and the inputs themselves. */
function bindInputs(
  ctx: Context,
  ast: TemplateAst,
  part: PartSpec,
  inputs: Inputs,
  scope: Scope,
): boolean {
  const of = ast.name.text;
  const missing = ast.inputs[inputs.length];
  const labels = [{ span: part.span, text: '' }];
  if (missing) {
    ctx.log.report('call/missing-argument', { name: missing.name.text, of }, [
      ...labels,
      { span: missing.name.span, text: 'it is declared here' },
    ]);
    return false;
  }
  if (inputs.length > ast.inputs.length) {
    const [most, found] = [ast.inputs.length, inputs.length];
    ctx.log.report('call/too-many', { of, most, found }, labels);
    return false;
  }
  const fits = ast.inputs.every((decl, i) => {
    const input = inputs[i];
    if (!input) {
      // Not known after a mistake: neither are the sizes that it would have bound.
      for (const d of decl.shape.dims) {
        if (d.kind === 'name' && !lookup(scope, d.name)) scope.names.set(d.name, errorThing);
      }
      scope.names.set(decl.name.text, errorThing);
      return true;
    }
    const type = typeOf(input);
    if (!unify(ctx, scope, of, decl, type, input.span)) return false;
    const local = { kind: 'local', name: decl.name.text, span: input.span, types: [type] } as const;
    scope.names.set(decl.name.text, tensorThing(local));
    return true;
  });
  // Sizes that only a mistaken argument would have given are no further mistakes.
  for (const [i, { shape }] of ast.inputs.entries()) {
    for (const d of inputs[i] ? [] : shape.dims) {
      if (d.kind === 'name' && !lookup(scope, d.name)) define(scope, d.name, errorThing);
    }
  }
  return fits;
}

/** Binds free names of the declared shape to the argument's sizes and compares the others. */
function unify(
  ctx: Context,
  scope: Scope,
  of: string,
  { name, shape }: TensorDecl,
  type: TensorType,
  span: Span,
): boolean {
  const wanted = dtypeOf(ctx, shape.dtype);
  if (!wanted) return false;
  const lead = type.shape.length - shape.dims.length;
  if (wanted !== type.dtype || lead < 0 || (lead > 0 && !shape.rest)) {
    const pattern = `${shape.dtype ? `${shape.dtype.text} ` : ''}${textOf(shape.span)}`;
    reportArgument(ctx, of, name, pattern, type, span, shape.span, 'the input is declared here');
    return false;
  }
  return shape.dims.every((d, i) => {
    const actual = present(type.shape[lead + i]);
    if (d.kind === 'name' && !lookup(scope, d.name)) {
      const size = constantDim(actual);
      const thing: Thing =
        size === undefined ? { kind: 'dim', dim: actual } : { kind: 'int', value: size };
      define(scope, d.name, thing);
      return true;
    }
    const expected = dimOf(ctx, scope, makePlace('', ''), d);
    if (expected === undefined) return false;
    if (sameDim(expected, actual)) return true;
    const pattern = `${textOf(shape.span)}${whereText(d, expected)}`;
    const why = `${showDim(expected)} is expected here`;
    reportArgument(ctx, of, name, pattern, type, span, d.span, why);
    return false;
  });
}

function reportArgument(
  ctx: Context,
  of: string,
  name: Name,
  expected: string,
  type: TensorType,
  span: Span,
  declaredAt: Span,
  why: string,
): void {
  const found = showType(type);
  ctx.log.report('shape/argument', { of, name: name.text, expected, found }, [
    { span, text: `this is ${found}` },
    { span: declaredAt, text: why },
  ]);
}

const textOf = (span: Span): string => span.source.text.slice(span.start, span.end);

const whereText = (d: ExprAst, value: Dim): string =>
  textOf(d.span) === showDim(value) ? '' : ` with ${textOf(d.span)} = ${showDim(value)}`;

function bindDefaults(
  ctx: Context,
  ast: TemplateAst,
  part: PartSpec,
  scope: Scope,
  place: Place,
): boolean {
  return ast.params.every((p) => {
    if (scope.names.has(p.name.text)) return true;
    if (!p.default) {
      ctx.log.report('call/missing-argument', { name: p.name.text, of: ast.name.text }, [
        { span: part.span, text: '' },
        { span: p.name.span, text: 'the parameter is declared here' },
      ]);
      return false;
    }
    const value = elaborate(ctx, scope, place, p.default);
    const fitted = asParam(ctx, p, value, ast.name.text, p.default.span);
    define(scope, p.name.text, fitted);
    return fitted.kind !== 'error';
  });
}

/** A block checked alone is checked for every value; its stack is empty but for itself. */
const openParams = (ast: TemplateAst, scope: Scope): void =>
  ast.params.forEach((p) => define(scope, p.name.text, openParam(p)));

const openParam = (p: ParamDecl): Thing =>
  p.type.kind === 'name' && p.type.name.text === 'int'
    ? { kind: 'dim', dim: symbol(p.name.text) }
    : { kind: 'open', type: p.type };

/** The checked results of a body; undefined after a mistake. */
function resultsOf(
  ctx: Context,
  ast: TemplateAst,
  scope: Scope,
  place: Place,
): readonly TypedExpr[] | undefined {
  const of = ast.name.text;
  const returned = runStatements(ctx, scope, place, ast.body);
  if (returned === 'failed') return undefined;
  if (!returned) {
    ctx.log.report('block/no-return', { name: of }, [{ span: ast.name.span, text: '' }]);
    return undefined;
  }
  const { results } = ast;
  if (!results) return returned;
  if (results.length !== returned.length) {
    ctx.log.report('call/results', { of, found: returned.length, expected: results.length }, [
      { span: present(returned[0]).span, text: 'this is returned' },
      { span: present(results[0]).span, text: 'the results are declared here' },
    ]);
    return undefined;
  }
  const fits = returned.map((value, i) => {
    const shape = present(results[i]);
    return fitsResult(ctx, of, value, shape, typeOfShape(ctx, scope, place, shape));
  });
  return fits.every(Boolean) ? returned : undefined;
}

function fitsResult(
  ctx: Context,
  of: string,
  value: TypedExpr,
  shape: ShapeAst,
  wanted: TensorType | undefined,
): boolean {
  if (!wanted) return false;
  const type = typeOf(value);
  const tail = shape.rest ? type.shape.slice(-wanted.shape.length) : type.shape;
  const same =
    wanted.dtype === type.dtype &&
    tail.length === wanted.shape.length &&
    tail.every((d, axis) => sameDim(d, present(wanted.shape[axis])));
  if (same) return true;
  const expected = shape.rest ? textOf(shape.span) : showShape(wanted.shape);
  const dtype = wanted.dtype === type.dtype ? '' : `${wanted.dtype} `;
  ctx.log.report('shape/result', { of, expected: `${dtype}${expected}`, found: showType(type) }, [
    { span: value.span, text: `this is ${showType(type)}` },
    { span: shape.span, text: 'the result is declared here' },
  ]);
  return false;
}

function typeOfShape(
  ctx: Context,
  scope: Scope,
  place: Place,
  shape: ShapeAst,
): TensorType | undefined {
  const dtype = dtypeOf(ctx, shape.dtype);
  const dims = shape.dims.map((d) => dimOf(ctx, scope, place, d)).filter((d) => d !== undefined);
  return dtype && dims.length === shape.dims.length ? { dtype, shape: dims } : undefined;
}

/**
 * The results as the signature declares them: what a block checked alone goes on with where a body's
 * types hang on values that are open.
 */
function declared(
  ctx: Context,
  ast: TemplateAst,
  scope: Scope,
  place: Place,
): readonly TypedExpr[] | undefined {
  if (ctx.mode === 'exact' || ctx.log.failed || !ast.results) return undefined;
  const types = ast.results.map((shape) =>
    shape.rest ? undefined : typeOfShape(ctx, scope, place, shape),
  );
  const known = types.filter((t) => t !== undefined);
  if (known.length !== types.length) return undefined;
  return known.map((type) => ({
    kind: 'local',
    name: ast.name.text,
    span: ast.name.span,
    types: [type],
  }));
}
