/**
 * The kernel interpreter for workgroups. The threads of a workgroup run in lockstep: each statement for
 * all of them that come to it before the next. Since every access is checked against those of the others
 * since their last barrier, any other order of threads would give the same.
 */
import { Failure } from '../../base/failure.ts';
import { invariant, present, unreachable } from '../../base/invariant.ts';
import type { ExprOf } from '../../scalar/expr.ts';
import type { KernelRun } from '../interpret.ts';
import type { Axis, Kernel, Stmt } from '../kernel.ts';
import { type Lanes, type Values, compileValue } from './lockstep-values.ts';
import { makeGroupMemory } from './lockstep-memory.ts';

type Run = () => void;
type Scope = ReadonlyMap<string, Lanes>;

/** Throws Failure `kernel/bounds`, `kernel/race`, `kernel/barrier` or `kernel/unset`. */
export function interpretGroups(kernel: Kernel, threads: number, run: KernelRun): void {
  const { observer } = run;
  const everyone = new Uint8Array(threads).fill(1);
  let active: Uint8Array = everyone;
  const memory = makeGroupMemory(kernel, threads, run, () => active);
  const constant = (value: number): Lanes => new Float64Array(threads).fill(value);
  const names = new Map(kernel.scalars.map((s) => [s as string, constant(run.scalars[s])]));
  names.set(
    'thread',
    new Float64Array(threads).map((_, n) => n),
  );
  observer?.launch(kernel);
  compileAll(kernel.body, names, false)();

  function compileAll(stmts: readonly Stmt[], outer: Scope, inGroup: boolean): Run {
    const scope = new Map(outer);
    const runs = stmts.map((s) => compileOne(s, scope, inGroup));
    return () => {
      for (const r of runs) r();
    };
  }

  function valueOf(e: ExprOf<'load'>['index'], scope: Scope): Values {
    return compileValue(e, {
      threads,
      variable: (name) => present(scope.get(name), name),
      load: (load, index) => memory.load(load, index),
    });
  }

  function compileOne(s: Stmt, scope: Map<string, Lanes>, inGroup: boolean): Run {
    switch (s.kind) {
      case 'let': {
        const value = valueOf(s.value, scope);
        const held = new Float64Array(s.value.lanes * threads);
        scope.set(s.name, held);
        return () => {
          held.set(value());
          if (inGroup) observer?.statement(active);
        };
      }
      case 'tile':
        return memory.declare(s.tile);
      case 'store': {
        const store = memory.store(s.tile, s.index, valueOf(s.index, scope), {
          lanes: s.value.lanes,
          values: valueOf(s.value, scope),
        });
        return () => {
          store();
          observer?.statement(active);
        };
      }
      case 'loop':
        return compileLoop(s.axis, s.body, scope, inGroup);
      case 'if': {
        const when = valueOf(s.when, scope);
        const chosen = new Float64Array(threads);
        const then = compileAll(s.then, scope, inGroup);
        const otherwise = compileAll(s.otherwise, scope, inGroup);
        return () => {
          chosen.set(when());
          branch((n) => chosen[n] !== 0, then);
          branch((n) => chosen[n] === 0, otherwise);
        };
      }
      case 'barrier':
        return () => {
          if (active.includes(0)) {
            const text = 'threads of a workgroup part before a barrier that others wait at';
            throw new Failure('kernel/barrier', `${kernel.name}: ${text}`);
          }
          memory.barrier();
        };
      case 'prefetch':
      case 'comment':
        return () => undefined;
      case 'copy':
      case 'wait':
      case 'role':
      case 'mma':
        invariant(false, `${s.kind} is not interpreted in workgroups`);
        break;
      default:
        return unreachable(s);
    }
  }

  /** Runs for those of the active threads for which `takes` holds; false if there are none. */
  function branch(takes: (thread: number) => boolean, body: Run): boolean {
    const outer = active;
    const inner = outer.map((on, n) => (on !== 0 && takes(n) ? 1 : 0));
    if (!inner.includes(1)) return false;
    active = inner;
    body();
    active = outer;
    return true;
  }

  function compileLoop(axis: Axis, body: readonly Stmt[], outer: Scope, inGroup: boolean): Run {
    const [from, to] = [valueOf(axis.from, outer), valueOf(axis.to, outer)];
    const index = new Float64Array(threads);
    const innermost = axis.bind === 'block' && !body.some((s) => isLoop(s, 'block'));
    const scope = new Map(outer).set(axis.name, index);
    const inside = compileAll(body, scope, inGroup || innermost);
    if (axis.bind === 'block') {
      return () => {
        const [first, end] = [present(from()[0]), present(to()[0])];
        for (let i = first; i < end; i++) {
          index.fill(i);
          if (innermost) memory.begin();
          inside();
        }
      };
    }
    const strided = axis.bind === 'thread';
    const stride = axis.step * (strided ? threads : 1);
    const [first, end] = [new Float64Array(threads), new Float64Array(threads)];
    return () => {
      first.set(from());
      end.set(to());
      if (strided) first.forEach((f, n) => (first[n] = f + n * axis.step));
      for (let step = 0; ; step += stride) {
        for (let n = 0; n < threads; n++) index[n] = (first[n] ?? 0) + step;
        if (!branch((n) => (index[n] ?? 0) < (end[n] ?? 0), inside)) break;
      }
    };
  }
}

const isLoop = (s: Stmt, bind: Axis['bind']): boolean => s.kind === 'loop' && s.axis.bind === bind;
