/** What must hold of kernels that run in workgroups, besides what holds of all. */
import { bytesOf } from '../../base/type.ts';
import type { Expr } from '../../scalar/expr.ts';
import { children } from '../../scalar/walk.ts';
import type { Kernel, Stmt, Tile } from '../kernel.ts';

/** Bytes that every WebGPU device lets the threads of a workgroup share. */
const sharedLimit = 16384;
const mostBlockLoops = 3;

/** Of the kernel and of what stands before its block loops: their faults in words. */
export function workgroupFaults(kernel: Kernel, threads: number): readonly string[] {
  const faults: string[] = [];
  const fault = (text: string): void => void faults.push(`${kernel.name}: ${text}`);
  if (![64, 128, 256].includes(threads)) fault(`a workgroup of ${threads} threads`);
  const tiles = new Map<string, Tile>(kernel.params.map((t) => [t.name, t]));
  let shared = 0;
  /** Values that are the same for all threads of a workgroup, as far as GPU compilers see it. */
  const uniform = new Set<string>(kernel.scalars);

  const isUniform = (e: Expr): boolean => {
    if (e.op === 'var') return uniform.has(e.name);
    if (e.op !== 'load') return children(e).every(isUniform);
    const tile = tiles.get(e.tile);
    return (tile?.fixed === true || tile?.space === 'constant') && isUniform(e.index);
  };
  const check = (e: Expr): void => {
    if (e.dtype === 'f64') fault('double precision is on no GPU that WebGPU knows');
    if (![1, 2, 4].includes(e.lanes)) fault(`vectors of ${e.lanes} lanes`);
    if (['dots', 'pairs', 'dot2', 'shuffle'].includes(e.op)) fault(`${e.op} is for CPUs`);
    children(e).forEach(check);
  };

  const visit = (stmts: readonly Stmt[], together: boolean, inThread: boolean): void => {
    for (const s of stmts) {
      switch (s.kind) {
        case 'let':
          check(s.value);
          if (isUniform(s.value)) uniform.add(s.name);
          else uniform.delete(s.name);
          break;
        case 'tile':
          tiles.set(s.tile.name, s.tile);
          declare(s.tile);
          break;
        case 'store': {
          check(s.index);
          check(s.value);
          const tile = tiles.get(s.tile);
          if (tile?.fixed || tile?.space === 'constant') fault(`${s.tile} is stored to`);
          const narrow = tile !== undefined && bytesOf[tile.dtype] < 4;
          if (narrow && s.value.lanes > 1) fault(`${s.tile}: vectors of narrow elements`);
          break;
        }
        case 'loop': {
          const { from, to, bind, name } = s.axis;
          check(from);
          check(to);
          if (bind === 'block') fault(`${name}: a workgroup begins inside of one`);
          if (bind === 'vector' || bind === 'lane') fault(`${name}: ${bind} loops are for CPUs`);
          const alike = together && bind !== 'thread' && isUniform(from) && isUniform(to);
          if (alike) uniform.add(name);
          if (bind === 'thread' && inThread) fault(`${name}: threads divide divided work`);
          visit(s.body, alike, inThread || bind === 'thread');
          break;
        }
        case 'if': {
          check(s.when);
          const alike = together && isUniform(s.when);
          visit(s.then, alike, inThread);
          visit(s.otherwise, alike, inThread);
          break;
        }
        case 'barrier':
          if (s.owner !== 'workgroup') fault(`a barrier of the ${s.owner}`);
          if (!together) fault('a barrier that not all threads are seen to come to');
          break;
        case 'prefetch':
        case 'comment':
          break;
        case 'copy':
        case 'wait':
        case 'role':
        case 'mma':
          fault(`${s.kind} has no form in a workgroup`);
      }
    }
  };
  const declare = (tile: Tile): void => {
    const size = bytesOf[tile.dtype] * tile.shape.reduce((a, b) => a * b, 1);
    if (tile.space === 'scratch' || tile.space === 'fragment')
      fault(`${tile.name} in ${tile.space}`);
    if (tile.space === 'constant' && tile.values?.length !== tile.shape[0]) {
      fault(`${tile.name} of ${tile.shape[0]} elements has ${tile.values?.length ?? 'no'} values`);
    }
    if (tile.space !== 'shared') return;
    if (bytesOf[tile.dtype] !== 4) fault(`${tile.name}: shared elements of ${tile.dtype}`);
    shared += size;
  };

  /** The nest of block loops at the end of a list, and what stands before it. */
  const nest = (stmts: readonly Stmt[], depth: number): void => {
    const last = stmts.at(-1);
    if (last?.kind !== 'loop' || last.axis.bind !== 'block') {
      if (depth === 0) fault('there is no block loop at its end');
      visit(stmts, true, false);
      return;
    }
    const before = stmts.slice(0, -1);
    if (before.some((s) => s.kind !== 'let' && s.kind !== 'tile' && s.kind !== 'comment')) {
      fault(`${last.axis.name}: something is done before workgroups begin`);
    }
    visit(before, true, false);
    const { name, from, to, step } = last.axis;
    if (depth === mostBlockLoops) fault(`${name}: more than ${mostBlockLoops} block loops`);
    if (from.op !== 'const' || from.value !== 0 || step !== 1) fault(`${name}: not from 0 by 1`);
    if (!ofScalars(to, kernel)) fault(`${name}: its end is not of sizes of the step alone`);
    check(to);
    uniform.add(name);
    nest(last.body, depth + 1);
  };
  nest(kernel.body, 0);
  if (shared > sharedLimit) fault(`its threads share ${shared} bytes of ${sharedLimit}`);
  return faults;
}

/** The host can compute it before a launch. */
const ofScalars = (e: Expr, kernel: Kernel): boolean => {
  if (e.op === 'load') return false;
  if (e.op === 'var') return kernel.scalars.some((s) => s === e.name);
  return children(e).every((c) => ofScalars(c, kernel));
};
