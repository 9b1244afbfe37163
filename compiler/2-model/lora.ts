/**
 * Adapters of low rank (LoRA, arXiv 2106.09685) as nodes of the typed model: beside a product
 * y = x W^T stand x A^T, that by B^T, and the scale alpha / rank. What a product is, an op's record
 * says; a weight that is used in another way takes no adapter.
 */
import { invariant, present } from '../base/invariant.ts';
import type { Span } from '../base/source.ts';
import { opOf } from '../ops/index.ts';
import { concretePath } from './edited.ts';
import type { EditOf } from './edits.ts';
import { type Model, type TypedExpr, type WeightDecl, nameAt } from './model.ts';
import { resultOf } from './operands.ts';
import { childrenOf, expressionsOf } from './walk.ts';
import { weightsOf } from './weights.ts';
import { type Adapted, type Context, type Place, joinPath } from './scope.ts';

type OpExpr = Extract<TypedExpr, { readonly kind: 'op' }>;

/** A product with a stored matrix. */
interface Product {
  readonly weight: WeightDecl;
  readonly operand: number;
  /** The operand is the matrix transposed. */
  readonly transposed: boolean;
  /** Which way the matrix lies as it is stored. */
  readonly stored: 'nk' | 'kn';
  /** Which way the op wants it. */
  readonly wanted: 'nk' | 'kn';
}

/** What `e` is as a product with a weight; undefined for anything else. */
export function productOf(e: TypedExpr): Product | undefined {
  if (e.kind !== 'op') return undefined;
  const { product } = opOf(e.op);
  const matrix = product ? e.inputs[product.matrix] : undefined;
  if (!product || !matrix) return undefined;
  const wanted = product.stored(e.attrs);
  const transposed = matrix.kind === 'op' && matrix.op === 'transpose';
  const weight = transposed ? matrix.inputs[0] : matrix;
  if (weight?.kind !== 'weight') return undefined;
  const stored = transposed ? (wanted === 'nk' ? 'kn' : 'nk') : wanted;
  return { weight: weight.weight, operand: product.matrix, transposed, stored, wanted };
}

/** Weights that are matrices of products and nothing else, by path; those of adapters left out. */
export function productWeights(model: Model): ReadonlySet<string> {
  const products = new Set<string>();
  const others = new Set<string>();
  const visit = (e: TypedExpr): void => {
    const product = productOf(e);
    if (product && !product.weight.adapter) products.add(product.weight.path);
    else if (e.kind === 'weight') others.add(e.weight.path);
    childrenOf(e).forEach((x, i) => {
      if (i !== product?.operand) visit(x);
    });
  };
  for (const e of expressionsOf(model.body, model.results)) visit(e);
  const concrete = [...weightsOf(model.body)].flatMap(({ weight, count }) =>
    products.has(weight.path) && !others.has(weight.path)
      ? Array.from({ length: count }, (_, i) => nameAt(weight.path, i))
      : [],
  );
  return new Set(concrete);
}

/** Rewrites the statements of `place`, and gives back its results rewritten. */
export function addAdapters(
  ctx: Context,
  place: Place,
  results: readonly TypedExpr[],
): readonly TypedExpr[] {
  if (!ctx.edits.adapts) return results;
  for (const s of place.statements.splice(0)) {
    if (s.kind === 'repeat') place.statements.push(s);
    else {
      const value = adapt(ctx, place, s.value);
      place.statements.push({ ...s, value });
    }
  }
  return results.map((r) => adapt(ctx, place, r));
}

function adapt(ctx: Context, place: Place, e: TypedExpr): TypedExpr {
  switch (e.kind) {
    case 'local':
    case 'constant':
    case 'step':
      return e;
    case 'weight': {
      const path = concretePath(ctx, e.weight.path);
      const [edit] = lorasOf(ctx, path);
      if (edit) reportUse(ctx, edit.site, path, e.span);
      return e;
    }
    case 'pick':
      return { ...e, from: adapt(ctx, place, e.from) };
    case 'call':
      return { ...e, inputs: e.inputs.map((x) => adapt(ctx, place, x)) };
    case 'op':
      return adaptOp(ctx, place, e);
  }
}

function adaptOp(ctx: Context, place: Place, e: OpExpr): TypedExpr {
  const product = productOf(e);
  const path = product ? concretePath(ctx, product.weight.path) : '';
  const edits = product ? lorasOf(ctx, path) : [];
  if (!product || edits.length === 0) {
    return { ...e, inputs: e.inputs.map((x) => adapt(ctx, place, x)) };
  }
  const adapted = adaptedOf(ctx, path, product.weight);
  adapted.used = true;
  const inputs = e.inputs.map((x, i) =>
    i === product.operand ? x : named(place, adapt(ctx, place, x)),
  );
  return edits.reduce<TypedExpr>(
    (y, edit) => withAdapter(ctx, y, { ...e, inputs }, product, adapted, edit),
    { ...e, inputs },
  );
}

/** Adapters beside weights that no product was found with. */
export function reportUnused(ctx: Context): void {
  for (const [path, { weight, used }] of ctx.adapted) {
    const [edit] = lorasOf(ctx, path);
    if (edit && !used) reportUse(ctx, edit.site, path, weight.span);
  }
}

function reportUse(ctx: Context, site: Span, path: string, use: Span): void {
  ctx.log.report('edit/lora-use', { name: path }, [
    { span: site, text: '' },
    { span: use, text: 'it is used here' },
  ]);
}

const lorasOf = (ctx: Context, path: string): readonly EditOf<'lora'>[] =>
  ctx.edits.at(path).filter((e) => e.kind === 'lora');

/** Beside its weight; a weight that several parts share may be used before it is declared. */
function adaptedOf(ctx: Context, path: string, weight: WeightDecl): Adapted {
  const had = ctx.adapted.get(path) ?? { weight, home: ctx.shared, used: false };
  ctx.adapted.set(path, had);
  return had;
}

/** Under a name, so that it is computed once for the product and its adapter. */
function named(place: Place, value: TypedExpr): TypedExpr {
  if (value.kind === 'local' || value.kind === 'step' || value.kind === 'weight') return value;
  // No name of a template has a dot.
  const name = `operand.${place.statements.length}`;
  place.statements.push({ kind: 'let', names: [name], value });
  return { kind: 'local', name, span: value.span, types: value.types };
}

/** y + op(op(x, A), B) * alpha / rank. */
function withAdapter(
  ctx: Context,
  y: TypedExpr,
  { op, inputs, attrs, span }: OpExpr,
  product: Product,
  adapted: Adapted,
  edit: EditOf<'lora'>,
): TypedExpr {
  const { weight } = product;
  const { rank, alpha, prefix = peftPrefix, suffixes = peftSuffixes, name = '' } = edit.lora;
  const [n, k] = (product.stored === 'nk' ? [-2, -1] : [-1, -2]).map((axis) =>
    present(weight.type.shape.at(axis)),
  );
  const lead = weight.type.shape.slice(0, -2);
  const declare = (suffix: string, ...shape: WeightDecl['type']['shape']): TypedExpr => {
    const decl: WeightDecl = {
      path: joinPath(weight.path, suffix, name),
      source: `${prefix}${joinPath(weight.source, suffix, name)}`,
      type: { dtype: 'f32', shape: [...lead, ...shape] },
      span: edit.site,
      adapter: true,
    };
    const had = adapted.home.find((w) => w.path === decl.path);
    if (!had) adapted.home.push(decl);
    const matrix: TypedExpr = { kind: 'weight', weight: decl, span, types: [decl.type] };
    return product.wanted === 'nk' ? matrix : make('transpose', [matrix], {});
  };
  const make = (name: OpExpr['op'], operands: readonly TypedExpr[], given: OpExpr['attrs']) => {
    const made = resultOf(ctx, name, operands, given, span);
    invariant(made.kind === 'tensor', 'an adapter fits the product that it was made for');
    return made.expr;
  };
  const through = (x: TypedExpr, matrix: TypedExpr): TypedExpr =>
    make(
      op,
      inputs.map((own, i) => (i === 0 ? x : i === product.operand ? matrix : own)),
      attrs,
    );
  const [first, second] = suffixes;
  const inner = through(present(inputs[0]), declare(first, rank, present(k)));
  const outer = through(inner, declare(second, present(n), rank));
  const scale: TypedExpr = {
    kind: 'constant',
    value: alpha / rank,
    span,
    types: [{ dtype: 'f32', shape: [] }],
  };
  return make('add', [y, make('mul', [outer, scale], {})], {});
}

/** As the library PEFT names what it trains, `base_model.model.{weight}.lora_A.weight`. */
const peftPrefix = 'base_model.model.';
const peftSuffixes = ['lora_A', 'lora_B'] as const;
