/**
 * How much one thread of a kernel has to do, read off its statements: vector instructions, those for
 * values that find no register included. Scalar index arithmetic runs beside them and counts as nothing.
 */
import { applyArithmetic, applyCompare } from '../scalar/eval.ts';
import { type Expr, arithmeticOps, compareOps } from '../scalar/expr.ts';
import { children } from '../scalar/walk.ts';
import type { Core } from './core.ts';
import type { Axis, Kernel, KernelScalar, Stmt } from './kernel.ts';

/** The step that is counted. */
export interface CountedStep {
  readonly scalars: Readonly<Record<KernelScalar, number>>;
  readonly threads: number;
}

/**
 * Vector instructions of one thread of the kernel. Loops whose ends only memory knows count once, and
 * of branches that it decides the first one.
 */
export function instructionsOf(kernel: Kernel, core: Core, step: CountedStep): number {
  const names = new Map<string, number>(kernel.scalars.map((s) => [s, step.scalars[s]]));
  names.set('threads', step.threads);
  const registers = new Set<string>();
  /** Bounds and conditions met that no name in reach tells. */
  let unknown = 0;
  return countAll(kernel.body, 0);

  function countAll(stmts: readonly Stmt[], outer: number): number {
    let held = outer;
    let sum = 0;
    for (const s of stmts) {
      if (s.kind === 'tile' && s.tile.space === 'register') {
        registers.add(s.tile.name);
        held += (s.tile.shape[0] ?? 0) * vectorsOf(core, s.tile.lanes ?? 1);
      }
      sum += countOne(s, held);
    }
    const nested = stmts.some((s) => s.kind === 'loop' || s.kind === 'if' || s.kind === 'role');
    const missing = nested ? 0 : Math.max(0, held + mostLive(core, stmts) - core.registers);
    // A value without a register is stored and loaded again.
    return sum + 2 * missing;
  }

  function countOne(s: Stmt, held: number): number {
    switch (s.kind) {
      case 'let': {
        const value = known(s.value, names);
        if (value === undefined) names.delete(s.name);
        else names.set(s.name, value);
        return costOf(core, s.value, registers);
      }
      case 'store':
        return (
          costOf(core, s.value, registers) +
          (registers.has(s.tile) ? 0 : vectorsOf(core, s.value.lanes))
        );
      case 'loop':
        return countLoop(s.axis, s.body, held);
      case 'if': {
        const when = known(s.when, names);
        if (when === undefined) unknown++;
        return countAll(when === 0 ? s.otherwise : s.then, held);
      }
      case 'role':
        return countAll(s.body, held);
      case 'prefetch':
        return 1;
      case 'tile':
      case 'barrier':
      case 'copy':
      case 'wait':
      case 'mma':
      case 'comment':
        return 0;
    }
  }

  /** Once for all rounds where they are alike, else round by round. */
  function countLoop(
    { name, from, to, step: by, bind }: Axis,
    body: readonly Stmt[],
    held: number,
  ): number {
    // prettier-ignore
    const [first, end] = [known(from, names), known(to, names)];
    names.delete(name);
    if (first === undefined || end === undefined) {
      unknown++;
      return countAll(body, held);
    }
    const before = unknown;
    const alike = countAll(body, held);
    const rounds = Math.max(0, Math.ceil((end - first) / by));
    // The slowest thread has what is left over too.
    if (bind === 'thread') return Math.ceil(rounds / step.threads) * alike;
    if (unknown === before) return rounds * alike;
    unknown = before;
    let sum = 0;
    for (let i = first; i < end; i += by) {
      names.set(name, i);
      sum += countAll(body, held);
    }
    names.delete(name);
    return sum;
  }
}

const vectorsOf = (core: Core, lanes: number): number =>
  Math.max(1, Math.ceil((lanes * 4) / core.registerBytes));

/** The value of a whole number that is made of known ones. */
function known(e: Expr, names: ReadonlyMap<string, number>): number | undefined {
  if (e.lanes > 1) return undefined;
  if (e.op === 'const') return e.value;
  if (e.op === 'var') return names.get(e.name);
  const [a, b] = children(e).map((c) => known(c, names));
  if (a === undefined || b === undefined) return undefined;
  const [calculation, comparison] = [
    arithmeticOps.find((op) => op === e.op),
    compareOps.find((op) => op === e.op),
  ];
  if (calculation) return applyArithmetic(calculation, a, b, e.dtype === 'i32');
  return comparison && Number(applyCompare(comparison, a, b));
}

/** Instructions of an expression on vectors and floats. */
function costOf(core: Core, e: Expr, registers: ReadonlySet<string>): number {
  if (e.op === 'const' || e.op === 'var') return 0;
  const times = vectorsOf(core, e.lanes) * (core.made[e.op] ?? 1);
  // Indices are made beside; a number for all lanes comes from memory as such.
  if (e.op === 'load') return registers.has(e.tile) ? 0 : times;
  if (e.op === 'splat' && e.a.op === 'load') return 1;
  if (e.lanes === 1 && (e.dtype === 'i32' || e.dtype === 'bool')) return 0;
  const below = children(e).reduce((n, c) => n + costOf(core, c, registers), 0);
  return below + (e.op === 'dots' ? times * e.left.length : times);
}

/** Registers of the named vectors that are needed at once, at most, and of what is being made. */
function mostLive(core: Core, stmts: readonly Stmt[]): number {
  const last = new Map<string, number>();
  stmts.forEach((s, i) => exprsOf(s).forEach((e) => namesIn(e, (name) => last.set(name, i))));
  let [live, most] = [0, 0];
  const ends = new Map<number, number>();
  stmts.forEach((s, i) => {
    live -= ends.get(i) ?? 0;
    if (s.kind === 'let' && s.value.lanes > 1) {
      const size = vectorsOf(core, s.value.lanes);
      const end = last.get(s.name) ?? i;
      live += size;
      ends.set(end, (ends.get(end) ?? 0) + size);
      most = Math.max(most, live);
    }
  });
  return most + 1;
}

function exprsOf(s: Stmt): readonly Expr[] {
  if (s.kind === 'let') return [s.value];
  if (s.kind === 'store') return [s.index, s.value];
  return s.kind === 'prefetch' ? [s.index] : [];
}

function namesIn(e: Expr, found: (name: string) => void): void {
  if (e.op === 'var' && e.lanes > 1) found(e.name);
  children(e).forEach((c) => namesIn(c, found));
}
