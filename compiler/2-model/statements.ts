/** Statements and instances: a block's body, elaborated for given parameters and arguments. */
import { type Dim, constantDim, sameDim, showDim, showShape, symbol } from '../base/dim.ts';
import type { Log } from '../base/diagnostic.ts';
import { nearestName } from '../base/messages.ts';
import { present } from '../base/invariant.ts';
import type { Span } from '../base/source.ts';
import { type DType, type TensorType, bytesOf } from '../base/type.ts';
import type { ShapeAst, StmtAst, TemplateAst } from '../1-syntax/ast.ts';
import { parse } from '../1-syntax/parse.ts';
import type { Template } from '../1-syntax/template.ts';
import { asParam } from './arguments.ts';
import { dimOf, elaborate } from './expressions.ts';
import type { Body, Instance, TypedExpr, Value } from './model.ts';
import { operandOf, tensorThing, typeOf } from './operands.ts';
import { elaborateRepeat } from './repeat.ts';
import {
  type Context,
  type Part,
  type Place,
  type Scope,
  type Thing,
  errorThing,
  joinPath,
  lookup,
} from './scope.ts';

/** A context whose blocks are parsed once each. */
export function makeContext(log: Log): Context {
  const parsed = new Map<Template, TemplateAst | undefined>();
  const ctx: Context = {
    log,
    stack: [],
    instantiate: (part, inputs) => instantiate(ctx, astOf, part, inputs),
  };
  return ctx;

  function astOf(t: Template): TemplateAst | undefined {
    if (!parsed.has(t)) parsed.set(t, parse(t, log));
    return parsed.get(t);
  }
}

type AstOf = (t: Template) => TemplateAst | undefined;

function instantiate(
  ctx: Context,
  astOf: AstOf,
  part: Omit<Part, 'instance'>,
  inputs: readonly TypedExpr[],
): Instance | undefined {
  const ast = astOf(part.template);
  if (!ast) return undefined;
  const name = ast.name.text;
  if (ctx.stack.some((s) => s.template === part.template)) {
    const path = [...ctx.stack.map((s) => s.name), name].join(' -> ');
    ctx.log.report('block/cycle', { path }, [{ span: part.span, text: '' }]);
    return undefined;
  }
  ctx.stack.push({ template: part.template, name });
  const instance = build(ctx, ast, part, inputs);
  ctx.stack.pop();
  return instance;
}

function build(
  ctx: Context,
  ast: TemplateAst,
  part: Omit<Part, 'instance'>,
  inputs: readonly TypedExpr[],
): Instance | undefined {
  const scope: Scope = { names: new Map(), outer: undefined, template: part.template };
  const place = makePlace(part.path, part.source);
  scope.names.set('t', { kind: 'dim', dim: symbol('t') });
  if (!bindGiven(ctx, ast, part, scope)) return undefined;
  if (!bindInputs(ctx, ast, part, inputs, scope)) return undefined;
  if (!bindDefaults(ctx, ast, part, scope, place)) return undefined;
  const returned = runStatements(ctx, scope, place, ast.body);
  if (returned === 'failed') return undefined;
  if (!returned) {
    ctx.log.report('block/no-return', { name: ast.name.text }, [{ span: ast.name.span, text: '' }]);
    return undefined;
  }
  if (!checkResults(ctx, ast, scope, place, returned)) return undefined;
  return {
    path: part.path,
    block: ast.name.text,
    params: paramsOf(ast, scope),
    inputs: ast.inputs.map((t, i) => ({ name: t.name.text, type: typeOf(present(inputs[i])) })),
    body: bodyOf(place),
    results: returned,
    span: part.span,
  };
}

export const makePlace = (path: string, source: string): Place => ({
  path,
  source,
  statements: [],
  weights: [],
  parts: [],
  states: new Set(),
});

export const bodyOf = (place: Place): Body => ({
  weights: place.weights,
  instances: place.parts.flatMap((p) => p.instance ?? []),
  statements: place.statements,
});

function bindGiven(
  ctx: Context,
  ast: TemplateAst,
  part: Omit<Part, 'instance'>,
  scope: Scope,
): boolean {
  let good = true;
  for (const [name, value] of part.args) {
    const p = ast.params.find((x) => x.name.text === name);
    if (!p) {
      const nearest = nearestName(
        name,
        ast.params.map((x) => x.name.text),
      );
      ctx.log.report('name/unknown-argument', { name, of: ast.name.text, nearest }, [
        { span: part.span, text: '' },
      ]);
      good = false;
      continue;
    }
    const fitted = asParam(ctx, p, value, ast.name.text, part.span);
    if (fitted.kind === 'error') good = false;
    scope.names.set(name, fitted);
  }
  return good;
}

/** Binds the sizes that input shapes name, and the inputs themselves. */
function bindInputs(
  ctx: Context,
  ast: TemplateAst,
  part: Omit<Part, 'instance'>,
  inputs: readonly TypedExpr[],
  scope: Scope,
): boolean {
  const of = ast.name.text;
  if (inputs.length !== ast.inputs.length) {
    const missing = ast.inputs[inputs.length];
    if (missing) {
      ctx.log.report('call/missing-argument', { name: missing.name.text, of }, [
        { span: part.span, text: '' },
      ]);
    } else {
      ctx.log.report('call/too-many', { of, most: ast.inputs.length, found: inputs.length }, [
        { span: part.span, text: '' },
      ]);
    }
    return false;
  }
  return ast.inputs.every((decl, i) => {
    const input = present(inputs[i]);
    const type = typeOf(input);
    if (!unify(ctx, scope, of, decl.name.text, decl.shape, type, input.span)) return false;
    const local: TypedExpr = {
      kind: 'local',
      name: decl.name.text,
      span: input.span,
      types: [type],
    };
    scope.names.set(decl.name.text, tensorThing(local));
    return true;
  });
}

function unify(
  ctx: Context,
  scope: Scope,
  of: string,
  name: string,
  shape: ShapeAst,
  type: TensorType,
  span: Span,
): boolean {
  const fail = (): false => {
    const expected = shape.dtype ? `${shape.dtype.text} of another shape` : showPattern(shape);
    ctx.log.report(
      'shape/argument',
      { of, name, expected, found: `${type.dtype}${showShape(type.shape)}` },
      [
        { span, text: `this is ${showShape(type.shape)}` },
        { span: shape.span, text: 'the parameter is declared here' },
      ],
    );
    return false;
  };
  const wanted = shape.dtype?.text ?? 'f32';
  if (wanted !== type.dtype) return fail();
  const lead = type.shape.length - shape.dims.length;
  if (lead < 0 || (lead > 0 && !shape.rest)) return fail();
  return shape.dims.every((d, i) => {
    const actual = present(type.shape[lead + i]);
    const bound = d.kind === 'name' ? lookup(scope, d.name) : undefined;
    if (d.kind === 'name' && !bound) {
      const size = constantDim(actual);
      scope.names.set(
        d.name,
        size === undefined ? { kind: 'dim', dim: actual } : { kind: 'int', value: size },
      );
      return true;
    }
    const expected = dimOf(ctx, scope, makePlace('', ''), d);
    if (expected === undefined) return false;
    if (sameDim(expected, actual)) return true;
    ctx.log.report(
      'shape/argument',
      {
        of,
        name,
        expected: `${showPattern(shape)} with ${shown(d, scope)} = ${showDim(expected)}`,
        found: showShape(type.shape),
      },
      [
        { span, text: `this is ${showShape(type.shape)}` },
        { span: d.span, text: `${showDim(expected)} is expected here` },
      ],
    );
    return false;
  });
}

const shown = (d: ShapeAst['dims'][number], scope: Scope): string =>
  scope.template.source.text.slice(d.span.start, d.span.end);

const showPattern = (shape: ShapeAst): string =>
  shape.span.source.text.slice(shape.span.start, shape.span.end);

function bindDefaults(
  ctx: Context,
  ast: TemplateAst,
  part: Omit<Part, 'instance'>,
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
    scope.names.set(p.name.text, fitted);
    return fitted.kind !== 'error';
  });
}

function checkResults(
  ctx: Context,
  ast: TemplateAst,
  scope: Scope,
  place: Place,
  returned: readonly TypedExpr[],
): boolean {
  const of = ast.name.text;
  if (!ast.results) return true;
  if (ast.results.length !== returned.length) {
    ctx.log.report('call/results', { of, found: returned.length, expected: ast.results.length }, [
      { span: present(returned[0]).span, text: '' },
    ]);
    return false;
  }
  return ast.results.every((shape, i) => {
    const value = present(returned[i]);
    const type = typeOf(value);
    const dims = shape.dims.map((d) => dimOf(ctx, scope, place, d));
    if (dims.some((d) => d === undefined)) return false;
    const tail = shape.rest ? type.shape.slice(-dims.length) : type.shape;
    const same =
      (shape.dtype?.text ?? 'f32') === type.dtype &&
      tail.length === dims.length &&
      tail.every((d, axis) => sameDim(d, present(dims[axis])));
    if (same) return true;
    const expected = showShape(dims.map((d) => present(d)));
    ctx.log.report('shape/result', { of, expected, found: showShape(type.shape) }, [
      { span: value.span, text: `this is ${showShape(type.shape)}` },
      { span: shape.span, text: 'the result is declared here' },
    ]);
    return false;
  });
}

function paramsOf(ast: TemplateAst, scope: Scope): ReadonlyMap<string, Value> {
  return new Map(
    ast.params.flatMap((p): [string, Value][] => {
      const value = toValue(scope.names.get(p.name.text));
      return value ? [[p.name.text, value]] : [];
    }),
  );
}

function toValue(t: Thing | undefined): Value | undefined {
  switch (t?.kind) {
    case 'int':
    case 'real':
    case 'bool':
    case 'text':
      return t;
    case 'list':
      return { kind: 'list', items: t.items.flatMap((x) => toValue(x) ?? []) };
    case undefined:
    case 'dim':
    case 'error':
    case 'lambda':
    case 'part':
    case 'template':
    case 'tensor':
      return undefined;
  }
}

type Returned = readonly TypedExpr[] | 'failed' | undefined;

/** Runs statements until one returns. After a mistake the rest is still looked at for others. */
export function runStatements(
  ctx: Context,
  scope: Scope,
  place: Place,
  statements: readonly StmtAst[],
): Returned {
  let failed = false;
  for (const s of statements) {
    const result = runStatement(ctx, scope, place, s);
    if (result === 'failed') failed = true;
    else if (result) return failed ? 'failed' : result;
  }
  return failed ? 'failed' : undefined;
}

function runStatement(ctx: Context, scope: Scope, place: Place, s: StmtAst): Returned {
  switch (s.kind) {
    case 'weight':
      return s.weights.every((w) => declareWeight(ctx, scope, place, w)) ? undefined : 'failed';
    case 'use': {
      const callee = elaborate(ctx, scope, place, s.callee);
      if (callee.kind === 'error') return define(ctx, scope, s.path.text, errorThing, s.span);
      if (callee.kind !== 'template') {
        ctx.log.report('call/not-callable', { name: s.path.text }, [
          { span: s.callee.span, text: '' },
        ]);
        return define(ctx, scope, s.path.text, errorThing, s.span);
      }
      const args = new Map<string, Thing>();
      for (const a of s.args) {
        if (a.name) args.set(a.name.text, elaborate(ctx, scope, place, a.value));
        else
          ctx.log.report(
            'type/kind',
            { what: 'use', expected: 'named arguments', found: 'one without a name' },
            [{ span: a.value.span, text: '' }],
          );
      }
      if ([...args.values()].some((a) => a.kind === 'error')) {
        return define(ctx, scope, s.path.text, errorThing, s.span);
      }
      const part: Part = {
        path: joinPath(place.path, s.path.text),
        source: joinPath(place.source, s.from?.value ?? s.path.text),
        template: callee.template,
        args,
        span: s.path.span,
        instance: undefined,
      };
      place.parts.push(part);
      return define(ctx, scope, s.path.text, { kind: 'part', part }, s.path.span);
    }
    case 'if': {
      const when = elaborate(ctx, scope, place, s.when);
      if (when.kind === 'error') return 'failed';
      if (when.kind !== 'bool') {
        ctx.log.report('value/not-compile-time', { what: 'the condition of if' }, [
          { span: s.when.span, text: '' },
        ]);
        return 'failed';
      }
      return runStatements(ctx, scope, place, when.value ? s.then : s.otherwise);
    }
    case 'assign':
      return assign(ctx, scope, place, s);
    case 'repeat':
      return elaborateRepeat({ ctx, scope, place, runStatements }, s) ? undefined : 'failed';
    case 'return': {
      const values = s.values.map((v) =>
        operandOf(ctx, elaborate(ctx, scope, place, v), v.span, 'return'),
      );
      const good = values.filter((v) => v !== undefined);
      return good.length === values.length ? good : 'failed';
    }
  }
}

function define(ctx: Context, scope: Scope, name: string, t: Thing, span: Span): Returned {
  if (scope.names.has(name)) {
    ctx.log.report('name/repeated', { name }, [{ span, text: '' }]);
    return 'failed';
  }
  scope.names.set(name, t);
  return t.kind === 'error' ? 'failed' : undefined;
}

function declareWeight(
  ctx: Context,
  scope: Scope,
  place: Place,
  w: Extract<StmtAst, { kind: 'weight' }>['weights'][number],
): boolean {
  const dims = w.shape.dims.map((d) => dimOf(ctx, scope, place, d));
  const sizes = dims.filter((d): d is Dim => d !== undefined);
  if (sizes.length !== dims.length) {
    define(ctx, scope, w.path.text, errorThing, w.path.span);
    return false;
  }
  const dtype = (Object.keys(bytesOf) as DType[]).find((d) => d === w.shape.dtype?.text) ?? 'f32';
  const type: TensorType = { dtype, shape: sizes };
  const weight = {
    path: joinPath(place.path, w.path.text),
    source: joinPath(place.source, w.from?.value ?? w.path.text),
    type,
    span: w.path.span,
  };
  place.weights.push(weight);
  const expr: TypedExpr = { kind: 'weight', weight, span: w.path.span, types: [type] };
  return define(ctx, scope, w.path.text, tensorThing(expr), w.path.span) === undefined;
}

function assign(
  ctx: Context,
  scope: Scope,
  place: Place,
  s: Extract<StmtAst, { kind: 'assign' }>,
): Returned {
  const value = elaborate(ctx, scope, place, s.value);
  const names = s.names.map((n) => n.text);
  const setAll = (t: Thing): void => names.forEach((n) => scope.names.set(n, t));
  if (value.kind === 'error') {
    setAll(errorThing);
    return 'failed';
  }
  if (value.kind !== 'tensor') {
    setAll(value);
    return undefined;
  }
  const { types } = value.expr;
  if (types.length !== names.length) {
    ctx.log.report('call/results', { of: 'this', found: types.length, expected: names.length }, [
      { span: s.value.span, text: '' },
    ]);
    setAll(errorThing);
    return 'failed';
  }
  place.statements.push({ kind: 'let', names, value: value.expr });
  names.forEach((name, i) => {
    const span = present(s.names[i]).span;
    scope.names.set(name, tensorThing({ kind: 'local', name, span, types: [present(types[i])] }));
  });
  return undefined;
}
