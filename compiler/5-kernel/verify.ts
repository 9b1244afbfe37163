/** What must hold of every kernel before it is printed or run; what breaks it is a compiler bug. */
import { bytesOf } from '../base/type.ts';
import type { Expr } from '../scalar/expr.ts';
import { children } from '../scalar/walk.ts';
import type { Kernel, Stmt, Tile } from './kernel.ts';
import { workgroupFaults } from './simt/verify.ts';

/** `fast`: the user gave up that results do not depend on company. */
export function verifyKernel(kernel: Kernel, { fast = false } = {}): readonly string[] {
  const faults: string[] = [];
  const fault = (text: string): void => void faults.push(`${kernel.name}: ${text}`);
  if (!kernel.orderKept && !fast) fault('the order of its reductions depends on company');
  const tiles = new Map<string, Tile>();
  const addTile = (t: Tile): void => {
    if (tiles.has(t.name)) fault(`${t.name} is there twice`);
    tiles.set(t.name, t);
    const size = bytesOf[t.dtype] * t.shape.reduce((a, b) => a * b, 1);
    const end = (t.offset ?? 0) + size;
    if (t.space === 'scratch' && end > kernel.scratchBytes) fault(`${t.name} leaves the scratch`);
  };
  kernel.params.forEach(addTile);

  const visit = (stmts: readonly Stmt[], outer: ReadonlySet<string>, inThread: boolean): void => {
    const names = new Set(outer);
    for (const s of stmts) {
      switch (s.kind) {
        case 'let':
          check(s.value, names);
          names.add(s.name);
          break;
        case 'tile':
          addTile(s.tile);
          break;
        case 'store':
          check(s.index, names);
          check(s.value, names);
          access(s.tile, s.index);
          break;
        case 'loop': {
          check(s.axis.from, names);
          check(s.axis.to, names);
          if (!Number.isInteger(s.axis.step) || s.axis.step < 1) fault(`a step of ${s.axis.step}`);
          const thread = s.axis.bind === 'thread';
          if (thread && inThread)
            fault(`${s.axis.name}: threads divide work that is divided already`);
          visit(s.body, new Set(names).add(s.axis.name), inThread || thread);
          break;
        }
        case 'if':
          check(s.when, names);
          visit(s.then, names, inThread);
          visit(s.otherwise, names, inThread);
          break;
        case 'role':
          visit(s.body, names, inThread);
          break;
        case 'prefetch':
          check(s.index, names);
          break;
        case 'barrier':
        case 'copy':
        case 'wait':
        case 'mma':
        case 'comment':
          break;
      }
    }
  };
  const access = (name: string, index: Expr): void => {
    const tile = tiles.get(name);
    if (!tile) return fault(`${name} is no tile that is there`);
    if (tile.space !== 'register') return;
    if (index.op !== 'const') return fault(`${name}: registers are addressed by constants`);
    if (index.value < 0 || index.value >= (tile.shape[0] ?? 0)) {
      fault(`${name}[${index.value}] of ${tile.shape[0]} registers`);
    }
  };
  const check = (e: Expr, names: ReadonlySet<string>): void => {
    if (e.op === 'var' && !names.has(e.name)) fault(`${e.name} is read before it is there`);
    if (e.op === 'load') access(e.tile, e.index);
    if (e.op === 'at') fault('an operand is left in an expression');
    if (e.op === 'lane' && e.lane >= e.a.lanes) fault(`lane ${e.lane} of ${e.a.lanes}`);
    children(e).forEach((c) => check(c, names));
  };
  const given = kernel.workgroup === undefined ? 'threads' : 'thread';
  visit(kernel.body, new Set([...kernel.scalars, given]), false);
  if (kernel.workgroup !== undefined) faults.push(...workgroupFaults(kernel, kernel.workgroup));
  return faults;
}
