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
  /** The first line has mistakes: calls of the template cannot be checked, its body can. */
  readonly partial?: true;
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
  | { readonly kind: 'return'; readonly values: readonly ExprAst[]; readonly span: Span }
  /** A statement with a mistake in it, which has been reported; `names` are what it would define. */
  | { readonly kind: 'broken'; readonly names: readonly Name[]; readonly span: Span };

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

export interface SheetAst {
  readonly groups: readonly GroupAst[];
  readonly rules: readonly RuleAst[];
}

/** `group gpu = ${h100}` of a place sheet. */
export interface GroupAst {
  readonly name: Name;
  readonly value: ExprAst;
  readonly span: Span;
}

export interface RuleAst {
  readonly selectors: readonly SelectorAst[];
  readonly settings: readonly SettingAst[];
}

export interface SettingAst {
  readonly name: Name;
  readonly value: ExprAst;
}

export interface SelectorAst {
  readonly segments: readonly SegmentAst[];
  readonly span: Span;
}

export interface SegmentAst {
  /** `one`: `*`, any one segment; `any`: `**` or nothing before a kind or test, any number of them. */
  readonly name: ({ readonly kind: 'name' } & Name) | { readonly kind: 'one' | 'any' };
  readonly kinds: readonly Name[];
  readonly ranges: readonly RangeAst[];
  readonly tests: readonly TestAst[];
  readonly span: Span;
}

/** Layers `from` to `to`, both included, every n-th; negative numbers count from the end. */
export interface RangeAst {
  readonly from: number | undefined;
  readonly to: number | undefined;
  readonly every: number;
  readonly span: Span;
}

export interface TestAst {
  readonly name: Name;
  readonly op: '<' | '<=' | '>' | '>=' | '==' | '!=';
  readonly value: ExprAst;
}
