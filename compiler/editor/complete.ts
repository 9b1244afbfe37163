/** What may stand at a place: the text before it decides, so that half a statement is enough. */
import { bytesOf } from '../base/type.ts';
import { ops } from '../ops/index.ts';
import { showExpr } from '../1-syntax/print.ts';
import { type SheetKind, holeMark } from '../1-syntax/template.ts';
import { showTypeAst } from '../2-model/scope.ts';
import { propertiesOf } from '../2-model/sheet-values.ts';
import { valueFunctions } from '../2-model/values.ts';
import { offsetIn, textAt } from './locate.ts';
import { namesOf } from './names.ts';
import type { TemplateText } from './templates.ts';
import type { Known, OpenFile, Workspace } from './workspace.ts';

export interface Completion {
  readonly label: string;
  readonly kind: 'keyword' | 'name' | 'op' | 'parameter' | 'type' | 'part';
  readonly detail?: string;
  /** What is put in, where it is not the label. */
  readonly insert?: string;
}

const statements = ['weight', 'use', 'repeat', 'if', 'else', 'return'];
const inside = ['if', 'then', 'else', 'as', 'and', 'or', 'not', 'true', 'false'];
const paramTypes = ['int', 'real', 'bool', 'text', 'block', 'fn'];

/** Templates call what stands for a name; an op that keeps state of its own is not for them. */
const callable = Object.entries(ops).map(([name, { doc }]): Completion => ({
  label: name,
  kind: 'op',
  detail: doc,
}));

/** What may stand behind a selector's colon: kinds that ops give their parts, and those of all parts. */
const partKinds = [
  ...new Set([
    ...Object.values(ops).flatMap((op) => op.kind ?? []),
    'linear',
    'weight',
    'layer',
    'instance',
  ]),
].map((label): Completion => ({ label, kind: 'type', detail: 'kind of part' }));

export function completionsAt(
  workspace: Workspace,
  path: string,
  offset: number,
): readonly Completion[] {
  const file = workspace.file(path);
  const text = file && textAt(file, offset);
  if (!file || !text) return [];
  if (text.holes.some((h) => offset > h.range.start && offset < h.range.end)) return [];
  const before = text.source.text.slice(0, offsetIn(text, offset)).replace(/\/\/[^\n]*$/, '');
  if (
    /["'][^"'\n]*$/.test(
      before
        .split('\n')
        .at(-1)
        ?.replace(/(["'])[^"'\n]*\1/g, '') ?? '',
    )
  )
    return [];
  if (text.tag !== 'block' && text.tag !== 'model') {
    const outside = before.lastIndexOf('{') <= before.lastIndexOf('}');
    if (!outside) return settingsFor(text.tag, text.source.text, before);
    return /:\w*$/.test(before) ? partKinds : partsOf(workspace, file);
  }
  const known = workspace.blocksOf(path).find((k) => k.text === text);
  if (!known) return [];
  const word = before.replace(/\w+$/, '');
  if (/:\s*$/.test(word)) return typesFor(word);
  const first = /(^|[{}\n])\s*$/.test(word);
  const words = (first ? statements : inside).map((label): Completion => ({
    label,
    kind: 'keyword',
  }));
  return [
    ...argumentsFor(workspace, known, word),
    ...words,
    ...namesFor(workspace, known, before),
    ...callable,
    ...valueFunctions
      .filter((f) => !Object.hasOwn(ops, f))
      .map((label): Completion => ({ label, kind: 'op', detail: 'of compile-time values' })),
  ];
}

/** Inside a rule: properties of the kind of sheet, behind a colon the values of the one before it. */
function settingsFor(kind: SheetKind, sheet: string, before: string): readonly Completion[] {
  const known = propertiesOf(kind);
  const name = /(\w+)\s*:\s*\w*$/.exec(before)?.[1];
  if (name === undefined) {
    return known.map((p) => ({
      label: p.name,
      kind: 'parameter',
      detail: p.takes,
      insert: `${p.name}: `,
    }));
  }
  const property = known.find((p) => p.name === name);
  const values = property?.values ?? [];
  const groups = values.includes('auto')
    ? [...sheet.matchAll(/\bgroup\s+(\w+)\s*=/g)].map((m) => m[1] ?? '')
    : [];
  return [...groups, ...values].map((label) => ({
    label,
    kind: 'type',
    detail: `value of ${name}`,
  }));
}

function typesFor(before: string): readonly Completion[] {
  // In a template's first line parameters stand behind the semicolon; elsewhere a type is of a tensor.
  const params = !before.includes('{') && before.includes(';');
  const list = params ? paramTypes : Object.keys(bytesOf);
  return list.map((label) => ({ label, kind: 'type' }));
}

/** Names of the text with its declarations before the place; from its words where it has no tree yet. */
function namesFor(workspace: Workspace, known: Known, before: string): readonly Completion[] {
  const ast = workspace.astOf(known);
  if (!ast) {
    const found = before.matchAll(/\b([A-Za-z_]\w*)\s*(?::(?!:)|=(?!=))/g);
    return [...new Set([...found].map((m) => m[1] ?? ''))].map((label) => ({
      label,
      kind: 'name',
    }));
  }
  const symbols = namesOf(ast).symbols.filter(
    (s) =>
      s.kind !== 'template' &&
      s.kind !== 'argument' &&
      (s.declarations[0]?.start ?? 0) < before.length,
  );
  const own = symbols.map((s): Completion => ({ label: s.name, kind: 'name', detail: s.kind }));
  return [
    ...new Map(
      [...own, { label: 'positions', kind: 'name' } as const].map((c) => [c.label, c]),
    ).values(),
  ];
}

/** The parameters of what is called where the place is inside of its parentheses. */
function argumentsFor(workspace: Workspace, known: Known, before: string): readonly Completion[] {
  const open = openParen(before);
  if (open === undefined) return [];
  const callee = before.slice(0, open).trimEnd();
  const block = blockOf(workspace, known, callee);
  const ast = block && workspace.astOf(block);
  if (ast) {
    return ast.params.map((p) => ({
      label: p.name.text,
      kind: 'parameter',
      detail: `${showTypeAst(p.type)}${p.default ? ` = ${showExpr(p.default)}` : ''}`,
      insert: `${p.name.text} = `,
    }));
  }
  const name = /([A-Za-z_]\w*)$/.exec(callee)?.[1];
  const op = Object.entries(ops).find(([key]) => key === name)?.[1];
  return Object.entries(op?.attrs ?? {}).map(([key, spec]) => ({
    label: key,
    kind: 'parameter',
    detail: spec.doc,
    insert: `${key} = `,
  }));
}

function blockOf(workspace: Workspace, known: Known, callee: string): Known | undefined {
  if (!callee.endsWith(holeMark)) return undefined;
  const hole = known.text.holes[callee.split(holeMark).length - 2];
  return hole && workspace.templateAt(known.file, hole.code);
}

/** Offset of the innermost parenthesis that is open at the end of `text`. */
function openParen(text: string): number | undefined {
  let depth = 0;
  for (let at = text.length - 1; at >= 0; at--) {
    const c = text[at];
    if (c === ')' || c === ']') depth++;
    else if (c === '(' || c === '[') {
      if (depth === 0) return c === '(' ? at : undefined;
      depth--;
    } else if (c === '{' || c === '}') return undefined;
  }
  return undefined;
}

/** Names that a sheet's selectors may have: what the file's blocks call their parts. */
function partsOf(workspace: Workspace, file: OpenFile): readonly Completion[] {
  const found = new Map<string, Completion>();
  for (const known of reachable(workspace, file)) {
    const ast = workspace.astOf(known);
    for (const s of ast ? namesOf(ast).symbols : []) {
      if (s.kind !== 'instance' && s.kind !== 'weight' && s.kind !== 'repeat') continue;
      found.set(s.name, { label: s.name, kind: 'part', detail: `${s.kind} of ${ast?.name.text}` });
    }
  }
  return [...found.values()];
}

/** The file's blocks and those in their holes. */
function reachable(workspace: Workspace, file: OpenFile): ReadonlySet<Known> {
  const out = new Set<Known>();
  const add = (known: Known): void => {
    if (out.has(known)) return;
    out.add(known);
    for (const h of known.text.holes) {
      const used = workspace.templateAt(known.file, h.code);
      if (used) add(used);
    }
  };
  workspace.blocksOf(file.path).forEach(add);
  return out;
}

/** The templates of a file with the names in them, for an outline. */
export interface Outline {
  readonly name: string;
  readonly detail: string;
  readonly text: TemplateText;
}

export const outlineOf = (workspace: Workspace, path: string): readonly Outline[] => {
  const file = workspace.file(path);
  return (file?.templates ?? []).map((text) => {
    const title = /^\s*(\w+)\s*\(/.exec(text.source.text)?.[1];
    const sheet = text.tag !== 'block' && text.tag !== 'model';
    return { name: (sheet ? text.name : title) ?? text.name ?? text.tag, detail: text.tag, text };
  });
};
