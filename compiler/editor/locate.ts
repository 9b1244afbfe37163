/** What stands at a place of a file: a hole, a name, a named argument, an expression. */
import type { Source, Span } from '../base/source.ts';
import type { ExprAst } from '../1-syntax/ast.ts';
import { type NameSymbol, type NamedArgument, type Names, namesOf } from './names.ts';
import type { HoleText, TemplateText } from './templates.ts';
import type { Known, OpenFile, Workspace } from './workspace.ts';

export interface Spot {
  readonly file: OpenFile;
  readonly known: Known;
  readonly names: Names;
  /** Offset in the text that the tag sees. */
  readonly at: number;
  readonly hole: HoleText | undefined;
}

const within = (
  at: number,
  { start, end }: { readonly start: number; readonly end: number },
): boolean => at >= start && at <= end;

/** The template at an offset of a file's text, sheets included. */
export const textAt = (file: OpenFile, offset: number): TemplateText | undefined =>
  file.templates.filter((t) => within(offset, t.raw)).at(-1);

/** Offset in the text that the tag sees; that of a hole for all of the hole. */
export function offsetIn(text: TemplateText, offset: number): number {
  const behind = text.offsets.findIndex((o) => o > offset);
  return behind < 0 ? text.offsets.length - 1 : Math.max(0, behind - 1);
}

export function spotAt(workspace: Workspace, path: string, offset: number): Spot | undefined {
  const file = workspace.file(path);
  const text = file && textAt(file, offset);
  const known = file && workspace.blocksOf(path).find((k) => k.text === text);
  const ast = known && workspace.astOf(known);
  if (!file || !text || !known || !ast) return undefined;
  const hole = text.holes.find((h) => offset >= h.range.start && offset < h.range.end);
  return { file, known, names: namesOf(ast), at: offsetIn(text, offset), hole };
}

export const symbolAt = ({ names, at }: Spot): { symbol: NameSymbol; span: Span } | undefined => {
  for (const symbol of names.symbols) {
    const span = [...symbol.declarations, ...symbol.uses].find((s) => within(at, s));
    if (span) return { symbol, span };
  }
  return undefined;
};

export const argumentAt = ({ names, at }: Spot): NamedArgument | undefined =>
  names.args.find((a) => within(at, a.name.span));

/** The smallest expression around the place. */
export function expressionAt({ names, at }: Spot): ExprAst | undefined {
  let best: ExprAst | undefined;
  for (const e of names.expressions) {
    if (!within(at, e.span)) continue;
    if (!best || e.span.end - e.span.start <= best.span.end - best.span.start) best = e;
  }
  return best;
}

/** The block that a callee of this template stands for. */
export function calleeOf(
  workspace: Workspace,
  known: Known,
  names: Names,
  callee: ExprAst,
): Known | undefined {
  if (callee.kind === 'hole') {
    const hole = known.text.holes[callee.index];
    return hole && workspace.templateAt(known.file, hole.code);
  }
  if (callee.kind !== 'name') return undefined;
  const own = names.symbols.find((s) => s.name === callee.name && s.callee);
  return own?.callee ? calleeOf(workspace, known, names, own.callee) : undefined;
}

export const spanOf = (source: Source, start: number, end: number): Span => ({
  source,
  start,
  end,
});
