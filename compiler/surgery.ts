/** Edits of a bound model: selectors resolved, mistakes told with the place of the user's call. */
import { DiagnosticsError } from './base/failure.ts';
import { type Diagnostic, makeLog } from './base/diagnostic.ts';
import type { MessageCode, MessageParams } from './base/messages.ts';
import { nearestName } from './base/messages/nearest.ts';
import { renderAll } from './base/render.ts';
import { type Source, type Span, callSite, titleOf } from './base/source.ts';
import { parseSelectors } from './1-syntax/parse.ts';
import type { Params, Template } from './1-syntax/template.ts';
import { type ModelSource, checkModel } from './2-model/check.ts';
import type { Edit, LoraOptions } from './2-model/edits.ts';
import type { Model } from './2-model/model.ts';
import { selectParts } from './2-model/select.ts';
import {
  type BlockPart,
  type ModelPart,
  type WeightPart,
  partsOf,
  treeOf,
} from './2-model/tree.ts';

/** What an edit is about: a path or selector of sheets, parts of the model's tree, or a test of them. */
export type Selector = string | ModelPart | readonly ModelPart[] | ((part: ModelPart) => boolean);

/** A checked model as edits see it. */
export interface Subject {
  readonly tree: BlockPart;
}

export function subjectOf(model: Model): Subject {
  let tree: BlockPart | undefined;
  return {
    get tree() {
      return (tree ??= treeOf(model));
    },
  };
}

/** The user's call as a place: the file and line of the caller, and the call's text. */
export function siteOf(stack: string | undefined, text: string): Span {
  return { source: { ...callSite(stack, 1), text }, start: 0, end: text.length };
}

/** Throws DiagnosticsError with this one mistake. */
export function refuse<K extends MessageCode>(
  site: Span,
  code: K,
  params: MessageParams<K>,
): never {
  const log = makeLog();
  log.report(code, params, [{ span: site, text: '' }]);
  throw errorOf(log.diagnostics());
}

const errorOf = (found: readonly Diagnostic[]): DiagnosticsError =>
  new DiagnosticsError(found, renderAll(found));

/** The model that `source` is; throws DiagnosticsError with every mistake found. */
export function checked(source: ModelSource): Model {
  const log = makeLog();
  const model = checkModel(source, log);
  if (!model || log.failed) throw errorOf(log.diagnostics());
  return model;
}

/** The same of a model just edited: each mistake is told with the place of the edit first. */
export function checkedAgain(source: ModelSource, site: Span, block: Template | undefined): Model {
  const log = makeLog();
  const model = checkModel(source, log);
  if (model && !log.failed) return model;
  throw errorOf(
    log.diagnostics().map((d) => {
      const stands = (s: Span): boolean => d.labels.some((l) => l.span.source === s.source);
      const own = stands(site) ? [] : [{ span: site, text: '' }];
      const title = block && titleOf(block.source);
      const other = title && !stands(title) ? [{ span: title, text: 'by this block' }] : [];
      return { ...d, labels: [...own, ...d.labels, ...other] };
    }),
  );
}

/** The parts of `tree` that `selector` selects; its text may be a mistake, told at `site`. */
export function select(tree: BlockPart, selector: Selector, site: Span): readonly ModelPart[] {
  const all = [...partsOf(tree)];
  if (typeof selector === 'function') return all.filter(selector);
  if (typeof selector === 'string') {
    const exact = all.filter((p) => p.path === selector);
    return exact.length > 0 ? exact : selectByText(tree, { ...site.source, text: selector });
  }
  const given = 'kind' in selector ? [selector] : selector;
  const paths = new Set(given.map((p) => p.path));
  return all.filter((p) => paths.has(p.path));
}

function selectByText(tree: BlockPart, source: Source): readonly ModelPart[] {
  const log = makeLog();
  const parts = selectParts(tree, parseSelectors(source, log), log);
  if (log.failed) throw errorOf(log.diagnostics());
  return parts;
}

/** What `selector` selects, which must be something. */
export function selected({ tree }: Subject, selector: Selector, site: Span): readonly ModelPart[] {
  const parts = select(tree, selector, site);
  if (parts.length > 0) return parts;
  const text = typeof selector === 'string' ? selector : 'this';
  const names = [...partsOf(tree)].map((p) => p.path);
  refuse(site, 'edit/nothing', { selector: text, nearest: nearestName(text, names) });
}

/** What `selector` selects, which must be instances. */
function instances(of: Subject, selector: Selector, edit: string, site: Span): readonly string[] {
  return selected(of, selector, site).map((p) => {
    if (p.kind === 'instance') return p.path;
    refuse(site, 'edit/part', { edit, takes: 'instances of blocks', ...foundIn(p) });
  });
}

const foundIn = (p: ModelPart): { readonly path: string; readonly found: string } => ({
  path: p.path === '' ? p.kind : p.path,
  found: `a ${p.kind}`.replace('a instance', 'an instance').replace('a model', 'the model'),
});

export const replaceEdit = (
  of: Subject,
  selector: Selector,
  block: Template,
  params: Params,
  site: Span,
): Edit => ({
  kind: 'replace',
  at: instances(of, selector, 'replace', site),
  block,
  params,
  site,
});

export const setEdit = (of: Subject, selector: Selector, params: Params, site: Span): Edit => ({
  kind: 'set',
  at: instances(of, selector, 'set', site),
  params,
  site,
});

/** Weights that are selected themselves, and the matrices of products in other selected parts. */
export function loraEdit(of: Subject, selector: Selector, lora: LoraOptions, site: Span): Edit {
  const { rank, alpha } = lora;
  if (!Number.isSafeInteger(rank) || rank < 1) {
    const expected = 'a whole number of at least 1';
    refuse(site, 'edit/lora-rank', { name: 'rank', value: String(rank), expected });
  }
  if (!Number.isFinite(alpha)) {
    refuse(site, 'edit/lora-rank', { name: 'alpha', value: String(alpha), expected: 'a number' });
  }
  const at = selected(of, selector, site).flatMap((p) => {
    if (p.kind === 'weight') return [p.path];
    return [...partsOf(p)].flatMap((x) => (x.kinds.includes('linear') ? [x.path] : []));
  });
  const [first] = selected(of, selector, site);
  if (at.length === 0 && first) {
    const takes = 'matrices of products, or parts that have some';
    refuse(site, 'edit/part', { edit: 'lora', takes, ...foundIn(first) });
  }
  return { kind: 'lora', at: [...new Set(at)], lora, site };
}

/** Weights become weights; parts with weights of the same names become one in all of these. */
export function tieEdits(
  of: Subject,
  selector: Selector,
  to: Selector,
  site: Span,
): readonly Edit[] {
  const goal = onlyOne(selected(of, to, site), 'tie', 'part to tie to', site);
  const from = selected(of, selector, site).filter((p) => p.path !== goal.path);
  const edits = weightsIn(goal).flatMap(([name, weight]): Edit[] => {
    const at = from.flatMap((p) => weightsIn(p).flatMap(([n, w]) => (n === name ? [w.path] : [])));
    return at.length === 0 ? [] : [{ kind: 'tie', at, to: weight.path, site }];
  });
  const [first] = from;
  if (edits.length === 0) {
    const takes = 'weights, or parts with weights of the same names';
    refuse(site, 'edit/part', { edit: 'tie', takes, ...foundIn(first ?? goal) });
  }
  return edits;
}

/** Weights by their names inside of the part; a weight itself has none. */
const weightsIn = (part: ModelPart): readonly (readonly [string, WeightPart])[] =>
  part.kind === 'weight'
    ? [['', part]]
    : [...partsOf(part)].flatMap((p) =>
        p.kind === 'weight' ? [[p.path.slice(part.path.length + 1), p] as const] : [],
      );

const onlyOne = <T>(found: readonly T[], edit: string, what: string, site: Span): T => {
  const [first, other] = found;
  if (first !== undefined && other === undefined) return first;
  refuse(site, 'edit/several', { edit, what, found: found.length });
};

/** The layers that are selected, which must be of one repeat. */
export function takeEdit(of: Subject, selector: Selector, site: Span): Edit {
  const layers = selected(of, selector, site).map((p) => {
    if (p.kind === 'layer') return p;
    refuse(site, 'edit/part', { edit: 'take', takes: 'layers', ...foundIn(p) });
  });
  const repeats = [...new Set(layers.map((l) => l.block))];
  const repeat = onlyOne(repeats, 'take', 'repeat', site);
  const numbers = layers.map((l) => Number(l.path.slice(repeat.length + 1)));
  return { kind: 'take', repeat, layers: numbers, site };
}

/** The path of the one instance that is selected. */
export const rootOf = (of: Subject, selector: Selector, site: Span): string =>
  onlyOne(instances(of, selector, 'sub', site), 'sub', 'instance', site);

/** The edit with its paths in the whole model, where it was made on a block of that. */
export function inWhole(edit: Edit, prefix: string): Edit {
  if (prefix === '') return edit;
  const whole = (path: string): string => `${prefix}.${path}`;
  switch (edit.kind) {
    case 'replace':
    case 'set':
    case 'lora':
      return { ...edit, at: edit.at.map(whole) };
    case 'tie':
      return { ...edit, at: edit.at.map(whole), to: whole(edit.to) };
    case 'take':
      return { ...edit, repeat: whole(edit.repeat) };
  }
}
