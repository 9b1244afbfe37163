/**
 * Sheets against a model: which rule gives each part each of its properties. Of the rules that select
 * a part the most specific wins, among equals the last; a part without one has what it stands in has.
 */
import type { Log } from '../base/diagnostic.ts';
import { nearestName } from '../base/messages/nearest.ts';
import type { SheetValue } from '../base/sheet-values.ts';
import type { Span } from '../base/source.ts';
import type { RuleAst, SelectorAst } from '../1-syntax/ast.ts';
import { parseSheet } from '../1-syntax/parse.ts';
import type { SheetKind, SheetSource } from '../1-syntax/template.ts';
import type { Model } from './model.ts';
import { checkPolicies } from './policies.ts';
import { selectParts } from './select.ts';
import { type Groups, readGroups, readSetting } from './sheet-values.ts';
import { type BlockPart, type ModelPart, partsOf, treeOf } from './tree.ts';

/** A property of a part: `precision.weights`, `decode.kv`. */
export type PropertyName = `${SheetKind}.${string}`;

export interface Setting {
  readonly value: SheetValue;
  /** The rule's selector and the value, where they are written. */
  readonly selector: Span;
  readonly span: Span;
  /** Path of the part that the rule selects: this one, or one that it stands in. */
  readonly from: string;
}

export interface ResolvedPart {
  readonly part: ModelPart;
  readonly settings: ReadonlyMap<PropertyName, Setting>;
}

/** Every part of the model, outermost first. */
export type ResolvedSheets = readonly ResolvedPart[];

interface Candidate {
  readonly setting: Omit<Setting, 'from'>;
  readonly weight: Specificity;
}

/** Names, then kinds, ranges and tests. */
type Specificity = readonly [number, number];

/** Reports what is wrong with sheets, and warns of rules that select nothing. */
export function resolveSheets(
  model: Model,
  sheets: readonly SheetSource[],
  log: Log,
): ResolvedSheets {
  const tree = treeOf(model);
  const parsed = sheets.map((sheet) => ({ sheet, ast: parseSheet(sheet, log) }));
  const groups: Groups = new Map(
    parsed.flatMap(({ sheet, ast }) => readGroups(sheet, ast.groups, log)),
  );
  const own = new Map<ModelPart, Map<PropertyName, Candidate>>();
  for (const { sheet, ast } of parsed) {
    for (const rule of ast.rules) addRule(tree, sheet, rule, groups, own, log);
  }
  const resolved: ResolvedPart[] = [];
  inherit(tree, new Map(), own, resolved);
  checkPolicies(model, resolved, log);
  return resolved;
}

function addRule(
  tree: BlockPart,
  sheet: SheetSource,
  rule: RuleAst,
  groups: Groups,
  own: Map<ModelPart, Map<PropertyName, Candidate>>,
  log: Log,
): void {
  const settings = rule.settings.flatMap((s) => {
    const value = readSetting(sheet, s, groups, log);
    return value ? [{ name: s.name.text, value, span: s.value.span }] : [];
  });
  for (const selector of rule.selectors) {
    const parts = selected(tree, selector, log);
    const weight = specificityOf(selector);
    for (const part of parts) {
      const properties = own.get(part) ?? new Map<PropertyName, Candidate>();
      own.set(part, properties);
      for (const { name, value, span } of settings) {
        const property: PropertyName = `${sheet.kind}.${name}`;
        const had = properties.get(property);
        if (had && isLess(weight, had.weight)) continue;
        properties.set(property, { weight, setting: { value, span, selector: selector.span } });
      }
    }
  }
}

/** Properties go down to what is inside, so that `**` behind a selector adds nothing to it. */
function selected(tree: BlockPart, selector: SelectorAst, log: Log): readonly ModelPart[] {
  const segments = [...selector.segments];
  while (segments.length > 0 && isEverything(segments.at(-1))) segments.pop();
  if (segments.length === 0) return [tree];
  const before = log.diagnostics().length;
  const parts = selectParts(tree, [{ ...selector, segments }], log, 'sheet/kind');
  if (parts.length > 0 || log.diagnostics().length > before) return parts;
  const { source, start, end } = selector.span;
  const text = source.text.slice(start, end);
  const nearest = nearestIn(tree, selector);
  log.report('sheet/nothing', { selector: text, nearest }, [{ span: selector.span, text: '' }]);
  return [];
}

const isEverything = (s: SelectorAst['segments'][number] | undefined): boolean =>
  s?.name.kind === 'any' && s.kinds.length + s.ranges.length + s.tests.length === 0;

/** The name in the model that is nearest to one of the selector's that is not there. */
function nearestIn(tree: BlockPart, { segments }: SelectorAst): string | undefined {
  const known = new Set([...partsOf(tree)].flatMap((p) => p.path.split('.')));
  const unknown = segments.flatMap(({ name }) =>
    name.kind === 'name' && !known.has(name.text) ? [name.text] : [],
  );
  return unknown.map((name) => nearestName(name, known)).find((n) => n !== undefined);
}

function specificityOf({ segments }: SelectorAst): Specificity {
  const names = segments.filter((s) => s.name.kind === 'name').length;
  const rest = segments.map((s) => s.kinds.length + s.ranges.length + s.tests.length);
  return [names, rest.reduce((a, b) => a + b, 0)];
}

const isLess = (a: Specificity, b: Specificity): boolean =>
  a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);

function inherit(
  part: ModelPart,
  outer: ReadonlyMap<PropertyName, Setting>,
  own: ReadonlyMap<ModelPart, ReadonlyMap<PropertyName, Candidate>>,
  to: ResolvedPart[],
): void {
  const mine = [...(own.get(part) ?? [])].map(([property, { setting }]) => {
    const set: Setting = { ...setting, from: part.path };
    return [property, set] as const;
  });
  const settings = mine.length === 0 ? outer : new Map([...outer, ...mine]);
  to.push({ part, settings });
  if (part.kind === 'weight') return;
  for (const inner of [
    ...Object.values(part.weights),
    ...part.layers,
    ...Object.values(part.parts),
  ]) {
    inherit(inner, settings, own, to);
  }
}
