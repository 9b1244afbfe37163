/** Declarations as edits leave them. */
import type { Span } from '../base/source.ts';
import type { Params, Template } from '../1-syntax/template.ts';
import { fromHole } from './arguments.ts';
import { layerMark } from './fold.ts';
import { checkArguments } from './givens.ts';
import type { WeightDecl } from './model.ts';
import type { Context, Given } from './scope.ts';

/** A path with the number of the layer that is being elaborated. */
export const concretePath = (ctx: Context, path: string): string =>
  ctx.layer === undefined ? path : path.replace(layerMark, String(ctx.layer));

/** What a `use` names and gives. */
export interface Use {
  readonly template: Template;
  readonly args: readonly Given[];
}

/** The use at `path` after its edits; undefined where one of them is a mistake. */
export function editedUse(ctx: Context, path: string, written: Use): Use | undefined {
  let now = written;
  for (const edit of ctx.edits.at(concretePath(ctx, path))) {
    if (edit.kind !== 'replace' && edit.kind !== 'set') continue;
    const template = edit.kind === 'replace' ? edit.block : now.template;
    const kept = edit.kind === 'replace' ? keptFor(ctx, now, template) : byName(ctx, now);
    const given = givenOf(ctx, edit.params, edit.site);
    const args = [...kept.filter((a) => !Object.hasOwn(edit.params, nameOf(a))), ...given];
    if (!checkArguments(ctx, template, given, edit.site)) return undefined;
    now = { template, args };
  }
  return now;
}

const nameOf = (a: Given): string => a.name?.text ?? '';

const givenOf = (ctx: Context, params: Params, site: Span): readonly Given[] =>
  Object.entries(params).map(([text, hole]) => ({
    name: { text, span: site },
    value: fromHole(ctx.log, hole, site),
    span: site,
  }));

/** Arguments that the block which is replaced was given and that the other one declares too. */
function keptFor(ctx: Context, use: Use, template: Template): readonly Given[] {
  const declared = new Set(ctx.astOf(template)?.params.map((p) => p.name.text));
  return byName(ctx, use).filter((a) => declared.has(nameOf(a)));
}

/** Positional arguments under the names that they are for. */
function byName(ctx: Context, { template, args }: Use): readonly Given[] {
  const params = ctx.astOf(template)?.params ?? [];
  let position = 0;
  return args.map((a) => (a.name ? a : { ...a, name: params[position++]?.name }));
}

export interface DeclaredWeight {
  readonly weight: WeightDecl;
  /** Where it is declared; absent where it is another weight. */
  readonly home: WeightDecl[] | undefined;
}

/** A weight after ties: itself, another one, or one that others are. */
export function editedWeight(
  ctx: Context,
  home: WeightDecl[],
  declared: WeightDecl,
): DeclaredWeight {
  const path = concretePath(ctx, declared.path);
  const stored = ctx.edits.stored.get(path);
  const written = stored === undefined ? declared : { ...declared, stored };
  const other = ctx.edits.tied.get(path);
  if (other) return { weight: other, home: undefined };
  const shared = ctx.edits.shared.get(path);
  const inLayer = written.path !== path;
  const weight = shared && inLayer ? { ...written, path, source: shared.source } : written;
  const known = ctx.shared.some((w) => w.path === path);
  const where = !shared || !inLayer ? home : known ? undefined : ctx.shared;
  if (ctx.edits.at(path).some((e) => e.kind === 'lora')) {
    ctx.adapted.set(path, { weight, home: where ?? ctx.shared, used: false });
  }
  return { weight, home: where };
}
