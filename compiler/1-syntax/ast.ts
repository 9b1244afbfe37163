/** The syntax tree: what a template says, with a span on every node. */
import type { Span } from '../base/source.ts';

export interface Name {
  readonly text: string;
  readonly span: Span;
}

export interface TemplateAst {
  readonly name: Name;
  readonly inputs: readonly TensorDecl[];
  readonly params: readonly ParamDecl[];
  readonly results: readonly ShapeAst[] | undefined;
  readonly body: readonly StmtAst[];
  readonly span: Span;
}

export interface TensorDecl {
  readonly name: Name;
  readonly shape: ShapeAst;
}

export interface ShapeAst {
  readonly dtype: Name | undefined;
  /** Begins with `..`: any leading axes. */
  readonly rest: boolean;
  readonly dims: readonly ExprAst[];
  readonly span: Span;
}

export interface ParamDecl {
  readonly name: Name;
  readonly type: TypeAst;
  readonly default: ExprAst | undefined;
}

export type TypeAst =
  | { readonly kind: 'name'; readonly name: Name }
  | { readonly kind: 'list'; readonly of: TypeAst; readonly span: Span };

export interface TextAst {
  readonly value: string;
  readonly span: Span;
}

export interface WeightAst {
  readonly path: Name;
  readonly shape: ShapeAst;
  readonly from: TextAst | undefined;
}

export type StmtAst =
  | { readonly kind: 'weight'; readonly weights: readonly WeightAst[]; readonly span: Span }
  | {
      readonly kind: 'use';
      readonly path: Name;
      readonly callee: ExprAst;
      readonly args: readonly ArgAst[];
      readonly from: TextAst | undefined;
      readonly span: Span;
    }
  | {
      readonly kind: 'repeat';
      readonly name: Name;
      readonly variable: Name;
      readonly count: ExprAst;
      readonly from: TextAst | undefined;
      readonly body: readonly StmtAst[];
      readonly span: Span;
    }
  | {
      readonly kind: 'if';
      readonly when: ExprAst;
      readonly then: readonly StmtAst[];
      readonly otherwise: readonly StmtAst[];
      readonly span: Span;
    }
  | {
      readonly kind: 'assign';
      readonly names: readonly Name[];
      readonly value: ExprAst;
      readonly span: Span;
    }
  | { readonly kind: 'return'; readonly values: readonly ExprAst[]; readonly span: Span };

export interface ArgAst {
  readonly name: Name | undefined;
  readonly value: ExprAst;
}

export type BinaryOp =
  'or' | 'and' | '<' | '<=' | '>' | '>=' | '==' | '!=' | '+' | '-' | '*' | '/' | '%' | '@' | '^';

interface Base {
  readonly span: Span;
}

export type ExprAst =
  | (Base & { readonly kind: 'number'; readonly value: number; readonly whole: boolean })
  | (Base & { readonly kind: 'text'; readonly value: string })
  | (Base & { readonly kind: 'bool'; readonly value: boolean })
  | (Base & { readonly kind: 'name'; readonly name: string })
  | (Base & { readonly kind: 'hole'; readonly index: number })
  | (Base & { readonly kind: 'list'; readonly items: readonly ExprAst[] })
  | (Base & { readonly kind: 'call'; readonly callee: ExprAst; readonly args: readonly ArgAst[] })
  | (Base & { readonly kind: 'index'; readonly of: ExprAst; readonly at: readonly ExprAst[] })
  | (Base & { readonly kind: 'member'; readonly of: ExprAst; readonly name: string })
  | (Base & { readonly kind: 'as'; readonly of: ExprAst; readonly shape: ShapeAst })
  | (Base & { readonly kind: 'unary'; readonly op: 'not' | '-'; readonly of: ExprAst })
  | (Base & {
      readonly kind: 'binary';
      readonly op: BinaryOp;
      readonly a: ExprAst;
      readonly b: ExprAst;
    })
  | (Base & {
      readonly kind: 'if';
      readonly when: ExprAst;
      readonly a: ExprAst;
      readonly b: ExprAst;
    })
  | (Base & { readonly kind: 'lambda'; readonly params: readonly Name[]; readonly body: ExprAst });
