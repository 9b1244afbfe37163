/**
 * Loops over the columns of a row, of which each machine class has its own way: a thread does them in
 * lanes, the threads of a workgroup share them.
 */
import type { Expr } from '../scalar/expr.ts';
import type { Monoid } from '../scalar/monoid.ts';
import type { Builder } from './builder.ts';
import type { Binding, Stmt } from './kernel.ts';
import type { Linear } from './linear.ts';

/** An axis to loop over: `count` iterations, of which at most `extent`. */
export interface LoopAxis {
  readonly hint: string;
  readonly extent: number;
  /** Iterations, when fewer than `extent` may run. */
  readonly count?: Expr;
  /** First iteration; 0 unless a piece begins later. */
  readonly from?: number;
}

export interface Target {
  readonly tile: string;
  readonly index: Expr;
  readonly value: Expr;
}

/** Where a reduction goes, and what is reduced over k = 0 .. extent-1. */
export interface ReducedElement {
  readonly tile: string;
  readonly index: Expr;
  readonly monoid: Monoid;
  readonly extent: number;
  body(k: Linear): Expr;
}

/** The largest elements of an axis, for each index of the axes before it. */
export interface TopRequest {
  readonly count: number;
  readonly extent: number;
  readonly outer: readonly LoopAxis[];
  source(group: readonly Linear[], position: Linear): Expr;
  /** Where value and position number c of the largest go. */
  value(group: readonly Linear[], c: Linear): { readonly tile: string; readonly index: Expr };
  position(group: readonly Linear[], c: Linear): { readonly tile: string; readonly index: Expr };
}

export interface LoopStrategy {
  /** What the loop over the rows of a region is bound to. */
  readonly rows: Binding;
  /** Stores `at(index)` for every index of `axes`. */
  store(b: Builder, axes: readonly LoopAxis[], at: (index: readonly Linear[]) => Target): Stmt[];
  /** The same for parts of the last axis that have an expression each. */
  storePieces(
    b: Builder,
    pieces: readonly {
      readonly axes: readonly LoopAxis[];
      at(index: readonly Linear[]): Target;
    }[],
  ): Stmt[];
  /** The reduction of `body(k)` over k = 0 .. extent-1, whose result whoever runs may read. */
  reduce(
    b: Builder,
    monoid: Monoid,
    extent: number,
    body: (k: Linear) => Expr,
  ): { readonly stmts: readonly Stmt[]; readonly result: Expr };
  /** Stores a reduction for each index of `axes`. */
  reduceEach(
    b: Builder,
    axes: readonly LoopAxis[],
    at: (index: readonly Linear[]) => ReducedElement,
  ): Stmt[];
  /**
   * The largest elements and their positions, ties to the lower position; where there are fewer above
   * -Infinity than asked for, -Infinity and 0.
   */
  top(b: Builder, request: TopRequest): Stmt[];
  /** Statements whose stores are to be done once, not by everyone who works on the row. */
  once(stmts: readonly Stmt[]): readonly Stmt[];
  /** Who reads after it sees what all who work on the row have stored. */
  settle(): readonly Stmt[];
}
