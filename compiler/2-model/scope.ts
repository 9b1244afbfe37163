/** What names stand for while a template is checked. */
import type { Dim } from '../base/dim.ts';
import type { Log } from '../base/diagnostic.ts';
import type { Span } from '../base/source.ts';
import type { ExprAst, Name } from '../1-syntax/ast.ts';
import type { Template } from '../1-syntax/template.ts';
import type { Instance, Statement, TypedExpr, WeightDecl } from './model.ts';

/** A number, truth value, text or list known when the model is compiled. */
export type Constant =
  | { readonly kind: 'int' | 'real'; readonly value: number }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'list'; readonly items: readonly Thing[] };

export type Thing =
  | Constant
  /** A size that only a step knows: t. */
  | { readonly kind: 'dim'; readonly dim: Dim }
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

/** A named instance, elaborated when it is first called: its sizes come from the arguments. */
export interface Part {
  readonly path: string;
  readonly source: string;
  readonly template: Template;
  readonly args: ReadonlyMap<string, Thing>;
  readonly span: Span;
  instance: Instance | undefined;
}

export interface Scope {
  readonly names: Map<string, Thing>;
  readonly outer: Scope | undefined;
  /** The template whose text is being read: holes are its. */
  readonly template: Template;
}

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

export interface Context {
  readonly log: Log;
  /** Names of the blocks being elaborated, outermost first. */
  readonly stack: { readonly template: Template; readonly name: string }[];
  /** Elaborates a block for arguments of these types; undefined after a mistake. */
  instantiate(part: Omit<Part, 'instance'>, inputs: readonly TypedExpr[]): Instance | undefined;
}

export const errorThing: Thing = { kind: 'error' };

export function lookup(scope: Scope, name: string): Thing | undefined {
  for (let s: Scope | undefined = scope; s; s = s.outer) {
    const found = s.names.get(name);
    if (found) return found;
  }
  return undefined;
}

export function* namesIn(scope: Scope): Generator<string> {
  for (let s: Scope | undefined = scope; s; s = s.outer) yield* s.names.keys();
}

export const joinPath = (...parts: readonly string[]): string =>
  parts.filter((p) => p !== '').join('.');

export function describe(t: Thing): string {
  switch (t.kind) {
    case 'int':
      return 'a whole number';
    case 'real':
      return 'a number';
    case 'bool':
      return 'a truth value';
    case 'text':
      return 'a text';
    case 'list':
      return 'a list';
    case 'dim':
      return 'a size that only a step knows';
    case 'tensor':
      return 'a tensor';
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
