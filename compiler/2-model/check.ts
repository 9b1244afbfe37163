/** Template to typed model. */
import { sameDim, symbol } from '../base/dim.ts';
import type { Log } from '../base/diagnostic.ts';
import { titleOf } from '../base/source.ts';
import { showType } from '../base/type.ts';
import type { TemplateAst, TensorDecl } from '../1-syntax/ast.ts';
import { guardDepth } from '../1-syntax/limits.ts';
import type { Params, Template } from '../1-syntax/template.ts';
import { fromHole } from './arguments.ts';
import { type Edit, type EditBook, type SheetNumerics, makeEditBook, tiesOf } from './edits.ts';
import { dimOf } from './expressions.ts';
import { type Root, extract } from './extract.ts';
import { checkArguments } from './givens.ts';
import { makeContext } from './instances.ts';
import { reportUnused } from './lora.ts';
import type { Instance, Model, TypedExpr } from './model.ts';
import { dtypeOf, typeOf } from './operands.ts';
import {
  type Context,
  type Given,
  type Observer,
  errorThing,
  makePlace,
  makeScope,
} from './scope.ts';
import { checkTies } from './tie.ts';
import { concreteWeights } from './weights.ts';

/** What a model is made of: a bound model, without what concerns running it. */
export interface ModelSource {
  readonly template: Template;
  readonly params?: Params;
  /** In order. */
  readonly edits?: readonly Edit[];
  /** Path of the instance that is the model; absent where the whole is. */
  readonly root?: Root;
}

/**
 * The model that a template is for its parameters, after its edits, or undefined with mistakes in
 * `log`. Its input is token ids, i32 [t]; its result logits, f32 [t, vocab].
 */
export function checkModel(
  source: ModelSource,
  log: Log,
  observe?: Observer,
  numerics?: SheetNumerics,
): Model | undefined {
  const { edits = [], root } = source;
  return guardDepth(log, titleOf(source.template.source), () => {
    const free = elaborateModel(source, makeEditBook(edits, new Map(), numerics), log, observe);
    const whole = free && tieModel(source, free, log, numerics);
    return whole && root ? extract(whole, root, log) : whole;
  });
}

/** The model with its ties, which are of weights that only the model without them tells. */
function tieModel(
  source: ModelSource,
  free: Model,
  log: Log,
  numerics: SheetNumerics | undefined,
): Model | undefined {
  const { edits = [] } = source;
  if (!edits.some((e) => e.kind === 'tie')) return free;
  const tied = checkTies(tiesOf(edits, concreteWeights(free.body)), log);
  return tied && elaborateModel(source, makeEditBook(edits, tied, numerics), log);
}

function elaborateModel(
  source: ModelSource,
  edits: EditBook,
  log: Log,
  observe?: Observer,
): Model | undefined {
  const parsed = new Map<Template, TemplateAst | undefined>();
  const ctx = makeContext(log, 'exact', observe, edits, parsed);
  const found = elaborateIn(ctx, source, log);
  for (const [template, ast] of parsed) {
    if (ast?.partial) checkAlone(makeContext(log, 'open', observe, undefined, parsed), template);
  }
  return found;
}

function elaborateIn(
  ctx: Context,
  { template, params = {} }: ModelSource,
  log: Log,
): Model | undefined {
  const ast = ctx.astOf(template);
  if (!ast) return undefined;
  const span = ast.name.span;
  const args = Object.entries(params).map(([text, hole]): Given => ({
    name: { text, span },
    value: fromHole(log, hole, span),
    span,
  }));
  if (!checkInput(log, ast) || !checkArguments(ctx, template, args, span)) return undefined;
  const types = [{ dtype: 'i32', shape: [symbol('t')] }] as const;
  const ids: TypedExpr = { kind: 'step', field: 'ids', span, types };
  const root = ctx.instantiate({ path: '', source: '', template, args, span }, [ids]);
  if (root) reportUnused(ctx);
  if (!root || log.failed || !checkResult(log, root)) return undefined;
  return {
    name: root.block,
    params: root.params,
    inputs: root.inputs.map((i) => ({ ...i, from: 'ids' })),
    body: { ...root.body, weights: [...root.body.weights, ...ctx.shared] },
    results: root.results,
  };
}

/**
 * Checks a template alone, for every value of its parameters: sizes are symbols, and both ways of an
 * `if` are looked at. True where no mistake was found.
 */
export function checkBlock(template: Template, log: Log, observe?: Observer): boolean {
  guardDepth(log, titleOf(template.source), () => {
    checkAlone(makeContext(log, 'open', observe), template);
  });
  return !log.failed;
}

function checkAlone(ctx: Context, template: Template): void {
  const ast = ctx.astOf(template);
  if (!ast) return;
  const inputs = ast.inputs.map((i) => openInput(ctx, ast, i));
  const span = ast.name.span;
  ctx.instantiate({ path: '', source: '', template, args: [], span }, inputs);
}

/** An input with the sizes that its shape names; any leading axes are rows. */
function openInput(ctx: Context, ast: TemplateAst, input: TensorDecl): TypedExpr | undefined {
  const { shape, name } = input;
  const scope = makeScope({ kind: 'block', source: name.span.source, holes: [] });
  const sizes = ast.params.filter((p) => p.type.kind === 'name' && p.type.name.text === 'int');
  const dims = [...ast.inputs.flatMap((i) => i.shape.dims)];
  const names = dims.flatMap((d) => (d.kind === 'name' ? [d.name] : []));
  // What a first line with mistakes would declare is no mistake here.
  const lost = ast.partial ? ast.body.flatMap((s) => (s.kind === 'broken' ? s.names : [])) : [];
  for (const { text } of lost) scope.names.set(text, errorThing);
  for (const text of ['t', ...names, ...sizes.map((p) => p.name.text)]) {
    scope.names.set(text, { kind: 'dim', dim: symbol(text) });
  }
  const place = makePlace('', '');
  const own = shape.dims.map((d) => dimOf(ctx, scope, place, d)).filter((d) => d !== undefined);
  const dtype = dtypeOf(ctx, shape.dtype);
  if (!dtype || own.length !== shape.dims.length) return undefined;
  const all = shape.rest ? [symbol('t'), ...own] : own;
  return { kind: 'local', name: name.text, span: name.span, types: [{ dtype, shape: all }] };
}

function checkInput(log: Log, ast: TemplateAst): boolean {
  const [input, other] = ast.inputs;
  const [dim] = input?.shape.dims ?? [];
  const isIds =
    input?.shape.dtype?.text === 'i32' &&
    input.shape.dims.length === 1 &&
    dim?.kind === 'name' &&
    dim.name === 't';
  if (isIds && !other) return true;
  log.report('model/input', { name: ast.name.text }, [
    { span: other?.name.span ?? input?.name.span ?? ast.name.span, text: '' },
  ]);
  return false;
}

function checkResult(log: Log, root: Instance): boolean {
  const [result] = root.results;
  const type = result?.types[0];
  const [rows, vocab] = type?.shape ?? [];
  const isLogits =
    root.results.length === 1 &&
    type?.dtype === 'f32' &&
    type.shape.length === 2 &&
    rows !== undefined &&
    sameDim(rows, symbol('t')) &&
    typeof vocab === 'number';
  if (isLogits) return true;
  const found = root.results.map((r) => showType(typeOf(r))).join(', ');
  log.report('model/result', { name: root.block, found }, [
    { span: result?.span ?? root.span, text: `this is ${found}` },
  ]);
  return false;
}
