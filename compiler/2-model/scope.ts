/** What names stand for while a template is checked. */
import { type Dim, showDim } from '../base/dim.ts';
import type { Log } from '../base/diagnostic.ts';
import type { Span } from '../base/source.ts';
import type { ExprAst, Name, TemplateAst, TypeAst } from '../1-syntax/ast.ts';
import type { Template } from '../1-syntax/template.ts';
import type { EditBook } from './edits.ts';
import type { Instance, InstanceInput, Statement, TypedExpr, WeightDecl } from './model.ts';

/** A number, truth value, text or list known when the model is compiled. */
export type Constant =
  | { readonly kind: 'int' | 'real'; readonly value: number }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'list'; readonly items: readonly Thing[] };

export type Thing =
  | Constant
  /** A whole number that is a symbol here: `t`, or a size of a block that is checked alone. */
  | { readonly kind: 'dim'; readonly dim: Dim }
  /** A value that a block checked alone does not know; its type where that is known. */
  | { readonly kind: 'open'; readonly type: TypeAst | undefined }
  /** A tensor, or several results of one call. */
  | { readonly kind: 'tensor'; readonly expr: TypedExpr }
  | { readonly kind: 'template'; readonly template: Template }
  | {
      readonly kind: 'lambda';
      readonly params: readonly Name[];
      readonly body: ExprAst;
      readonly scope: Scope;
    }
  | { readonly kind: 'part'; readonly part: Part }
  /** Stands for anything that a mistake has already been reported for. */
  | { readonly kind: 'error' };

/** An argument as a call or a `use` gives it; without a name it counts by position. */
export interface Given {
  readonly name: Name | undefined;
  readonly value: Thing;
  readonly span: Span;
}

/** A named instance, elaborated when it is first called: its sizes come from the arguments. */
export interface Part {
  readonly path: string;
  readonly source: string;
  readonly template: Template;
  readonly args: readonly Given[];
  readonly span: Span;
  instance: Instance | undefined;
}

export interface Scope {
  readonly names: Map<string, Thing>;
  /** Names that stand for one thing throughout: sizes, parameters, weights, instances. */
  readonly fixed: Set<string>;
  readonly outer: Scope | undefined;
  /** The template whose text is being read: holes are its. */
  readonly template: Template;
}

export const makeScope = (template: Template, outer?: Scope): Scope => ({
  names: new Map(),
  fixed: new Set(),
  outer,
  template,
});

/** Where declarations go while statements are elaborated. */
export interface Place {
  readonly path: string;
  readonly source: string;
  readonly statements: Statement[];
  readonly weights: WeightDecl[];
  readonly parts: Part[];
  /** State names handed out, to keep them apart. */
  readonly states: Set<string>;
}

export const makePlace = (path: string, source: string): Place => ({
  path,
  source,
  statements: [],
  weights: [],
  parts: [],
  states: new Set(),
});

/** Is told what expressions and declarations stand for, again for each time they are elaborated. */
export type Observer = (span: Span, thing: Thing) => void;

export interface Adapted {
  readonly weight: WeightDecl;
  /** Where the adapters' weights are declared: beside it. */
  readonly home: WeightDecl[];
  used: boolean;
}

/** A block that is being elaborated. */
export interface Elaborated {
  readonly template: Template;
  readonly name: string;
  readonly scope: Scope;
  /** Inputs that functions handed to it add. */
  readonly handed: InstanceInput[];
}

export interface Context {
  readonly log: Log;
  readonly observe?: Observer;
  /** `open`: a block is checked alone, and sizes and parameters may be unknown. */
  readonly mode: 'exact' | 'open';
  /** Expressions, and entries of lists, that may still be elaborated. */
  readonly budget: { left: number };
  /** Blocks being elaborated, outermost first. */
  readonly stack: Elaborated[];
  /** Changes to the model, looked up by concrete paths. */
  readonly edits: EditBook;
  /** Number of the layer that is being elaborated, which paths hold a mark for. */
  layer: number | undefined;
  /** Weights that several parts have in common, wherever they are. */
  readonly shared: WeightDecl[];
  /** Weights that edits put adapters beside, by concrete path. */
  readonly adapted: Map<string, Adapted>;
  /** The tree of a template, parsed once; undefined after a mistake. */
  astOf(template: Template): TemplateAst | undefined;
  /** Elaborates a block for its arguments; undefined after a mistake. */
  instantiate(
    part: Omit<Part, 'instance'>,
    inputs: readonly (TypedExpr | undefined)[],
  ): Instance | undefined;
}

export const errorThing: Thing = { kind: 'error' };

export function lookup(scope: Scope, name: string): Thing | undefined {
  for (let s: Scope | undefined = scope; s; s = s.outer) {
    const found = s.names.get(name);
    if (found) return found;
  }
  return undefined;
}

export function isFixed(scope: Scope, name: string): boolean {
  for (let s: Scope | undefined = scope; s; s = s.outer) {
    if (s.fixed.has(name)) return true;
    if (s.names.has(name)) return false;
  }
  return false;
}

export function* namesIn(scope: Scope): Generator<string> {
  for (let s: Scope | undefined = scope; s; s = s.outer) yield* s.names.keys();
}

export const joinPath = (...parts: readonly string[]): string =>
  parts.filter((p) => p !== '').join('.');

export const isError = (t: Thing): boolean => t.kind === 'error';

export const showTypeAst = (t: TypeAst): string =>
  t.kind === 'list' ? `[${showTypeAst(t.of)}]` : t.name.text;

export function describe(t: Thing): string {
  switch (t.kind) {
    case 'int':
      return `the whole number ${t.value}`;
    case 'real':
      return `the number ${t.value}`;
    case 'bool':
      return `${t.value}`;
    case 'text':
      return `the text "${t.value}"`;
    case 'list':
      return `a list of ${t.items.length}`;
    case 'dim':
      return `the size ${showDim(t.dim)}, which is not known yet`;
    case 'open':
      return t.type ? `a value of type ${showTypeAst(t.type)}` : 'a value';
    case 'tensor':
      return t.expr.types.length === 1 ? 'a tensor' : `${t.expr.types.length} tensors`;
    case 'template':
      return 'a block';
    case 'lambda':
      return 'a function';
    case 'part':
      return 'an instance';
    case 'error':
      return 'a mistake';
  }
}
