/** Where names are defined and used, in and across files, and what renaming one changes. */
import { isOpName } from '../ops/index.ts';
import { type Spot, argumentAt, calleeOf, spotAt, symbolAt } from './locate.ts';
import { type NameSymbol, namesOf } from './names.ts';
import { bindingAt } from './module.ts';
import { isDoor } from './templates.ts';
import type { Known, Place, Workspace } from './workspace.ts';

/** The place that defines what stands at an offset. */
export function definitionAt(
  workspace: Workspace,
  path: string,
  offset: number,
): Place | undefined {
  const spot = spotAt(workspace, path, offset);
  if (!spot) return undefined;
  if (spot.hole) {
    const known = workspace.templateAt(spot.file, spot.hole.code);
    return known && titleOf(workspace, known);
  }
  const target = targetAt(workspace, spot);
  if (!target) return undefined;
  const { symbol } = target;
  // Of a name that is assigned several times, the assignment before the place.
  const own =
    target.known === spot.known ? symbol.declarations.filter((d) => d.start <= spot.at) : [];
  const span = own.at(-1) ?? symbol.declarations[0];
  return span && workspace.placeOf(span);
}

function titleOf(workspace: Workspace, known: Known): Place {
  const name = workspace.astOf(known)?.name.span;
  return (name && workspace.placeOf(name)) ?? { path: known.file.path, ...known.text.tagRange };
}

interface Target {
  readonly known: Known;
  readonly symbol: NameSymbol;
}

function targetAt(workspace: Workspace, spot: Spot): Target | undefined {
  const arg = argumentAt(spot);
  if (!arg) {
    const found = symbolAt(spot);
    return found && { known: spot.known, symbol: found.symbol };
  }
  const block = calleeOf(workspace, spot.known, spot.names, arg.callee);
  const ast = block && workspace.astOf(block);
  const symbol =
    ast && namesOf(ast).symbols.find((s) => s.kind === 'parameter' && s.name === arg.name.text);
  return block && symbol && { known: block, symbol };
}

export interface Reference extends Place {
  /** `{ heads }` in TypeScript, which names a value as well. */
  readonly short?: boolean;
}

/** Declarations and uses of what stands at an offset, in the files at `paths` too. */
export function referencesAt(
  workspace: Workspace,
  path: string,
  offset: number,
  paths: readonly string[],
): readonly Reference[] {
  const spot = spotAt(workspace, path, offset);
  const target = spot && !spot.hole ? targetAt(workspace, spot) : undefined;
  return target ? referencesTo(workspace, target, [...new Set([...paths, path])]) : [];
}

function referencesTo(
  workspace: Workspace,
  target: Target,
  paths: readonly string[],
): readonly Reference[] {
  const { known, symbol } = target;
  const own = [...symbol.declarations, ...symbol.uses].flatMap((s) => workspace.placeOf(s) ?? []);
  if (symbol.kind !== 'parameter') return own;
  const all = [...new Set([...paths, known.file.path])];
  return [...own, ...all.flatMap((p) => argumentsIn(workspace, p, target))];
}

/** The arguments of calls in a file, and of its `bind`s, that give the parameter by name. */
function argumentsIn(
  workspace: Workspace,
  path: string,
  { known, symbol }: Target,
): readonly Reference[] {
  const file = workspace.file(path);
  if (!file) return [];
  const inTexts = workspace.blocksOf(path).flatMap((user) => {
    const ast = workspace.astOf(user);
    if (!ast) return [];
    const names = namesOf(ast);
    return names.args
      .filter(
        (a) => a.name.text === symbol.name && calleeOf(workspace, user, names, a.callee) === known,
      )
      .flatMap((a) => workspace.placeOf(a.name.span) ?? []);
  });
  const inBinds = file.module.calls.flatMap(({ callee, args: [first, options] }) => {
    const meaning =
      callee.kind === 'name'
        ? bindingAt(file.module, callee.name, callee.start)?.meaning
        : undefined;
    if (meaning?.kind !== 'import' || meaning.name !== 'bind' || !isDoor(meaning.from)) return [];
    if (!first || options?.kind !== 'object' || workspace.templateAt(file, first) !== known)
      return [];
    const params = options.entries.find((e) => e.key === 'params')?.value;
    const entry =
      params?.kind === 'object' ? params.entries.find((e) => e.key === symbol.name) : undefined;
    return entry ? [{ path, ...entry.range, short: entry.short }] : [];
  });
  return [...inTexts, ...inBinds];
}

export interface TextEdit extends Place {
  readonly text: string;
}

const words = [
  'weight', 'use', 'repeat', 'if', 'then', 'else', 'return', 'from', 'as', 'and', 'or', 'not', 'true', 'false',
]; // prettier-ignore

/** The range and text of what `renameAt` would rename; undefined where nothing can be. */
export function renameable(
  workspace: Workspace,
  path: string,
  offset: number,
): (Place & { name: string }) | undefined {
  const spot = spotAt(workspace, path, offset);
  if (!spot || spot.hole || !targetAt(workspace, spot)) return undefined;
  const span = argumentAt(spot)?.name.span ?? symbolAt(spot)?.span;
  const place = span && workspace.placeOf(span);
  return span && place && { ...place, name: span.source.text.slice(span.start, span.end) };
}

/**
 * The edits that give another name, or why it cannot be. What a checkpoint knows by the name gets
 * `from` with the former one.
 */
export function renameAt(
  workspace: Workspace,
  path: string,
  offset: number,
  to: string,
  paths: readonly string[],
): readonly TextEdit[] | { readonly problem: string } {
  const spot = spotAt(workspace, path, offset);
  const target = spot && !spot.hole ? targetAt(workspace, spot) : undefined;
  if (!target) return { problem: 'nothing here has a name that can be changed' };
  const { symbol, known } = target;
  const dotted = symbol.kind === 'weight' || symbol.kind === 'instance';
  const form = dotted ? /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/ : /^[A-Za-z_]\w*$/;
  if (!form.test(to) || words.includes(to)) return { problem: `${to} is no name` };
  const ast = workspace.astOf(known);
  const taken = ast && namesOf(ast).symbols.some((s) => s.name === to && s.kind !== 'template');
  if (taken || isOpName(to) || to === 't' || to === 'positions')
    return { problem: `${to} stands for something else` };
  const places = referencesTo(workspace, target, [...new Set([...paths, path])]);
  const edits = places.map(({ short, ...place }): TextEdit => {
    if (short !== true) return { ...place, text: to };
    return { ...place, text: `${to}: ${symbol.name}` };
  });
  const first = symbol.declarations[0];
  const from =
    first && symbol.fromAt !== undefined
      ? workspace.placeOf({ ...first, start: symbol.fromAt, end: symbol.fromAt })
      : undefined;
  return from ? [...edits, { ...from, text: ` from "${symbol.name}"` }] : edits;
}
