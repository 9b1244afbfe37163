/**
 * The kernel interpreter: runs a kernel statement by statement, thread after thread, rounding as the
 * element types say. Every access is checked: against the bounds of its tile, and against accesses
 * of other threads since the last barrier.
 */
import { Failure } from '../base/failure.ts';
import { invariant, present, unreachable } from '../base/invariant.ts';
import { halfOf, halfToFloat } from '../base/half.ts';
import { bytesOf } from '../base/type.ts';
import { applyArithmetic, applyCompare, applyUnary, lookedUp, saturated } from '../scalar/eval.ts';
import type { Expr } from '../scalar/expr.ts';
import type { Axis, Kernel, KernelScalar, Stmt, Tile } from './kernel.ts';
import {
  byteAt,
  fourProducts,
  lowOf,
  pairOf,
  readAs,
  rounded,
  sameBits,
  writeAs,
} from './lane-values.ts';
import type { RaceLog } from './races.ts';
import { interpretGroups } from './simt/lockstep.ts';
import type { GroupObserver } from './simt/observer.ts';

/** Where a global tile lies in memory. */
export interface Region {
  readonly address: number;
  readonly bytes: number;
}

export interface KernelRun {
  readonly memory: DataView;
  /** One for each parameter of the kernel. */
  readonly regions: readonly Region[];
  readonly scalars: Readonly<Record<KernelScalar, number>>;
  /** Of the team, for kernels that do not run in workgroups. */
  readonly threads: number;
  readonly races: RaceLog;
  /** Is told what the threads of workgroups do. */
  readonly observer?: GroupObserver;
}

type Value = readonly number[];

/**
 * Throws Failure `kernel/bounds`, `kernel/race`, or of workgroups `kernel/barrier` or `kernel/unset`; a
 * compiler bug for what no machine class has.
 */
export function interpretKernel(kernel: Kernel, run: KernelRun): void {
  if (kernel.workgroup !== undefined) return interpretGroups(kernel, kernel.workgroup, run);
  for (let thread = 0; thread < run.threads; thread++) runThread(kernel, run, thread);
}

function runThread(kernel: Kernel, run: KernelRun, thread: number): void {
  const tiles = new Map<string, Tile>(kernel.params.map((t) => [t.name, t]));
  const regions = new Map(kernel.params.map((t, i) => [t.name, present(run.regions[i])]));
  const scratch = new DataView(new ArrayBuffer(kernel.scratchBytes));
  const registers = new Map<string, Value[]>();
  const names = new Map<string, Value>(kernel.scalars.map((s) => [s, [run.scalars[s]]]));
  names.set('threads', [run.threads]);
  runAll(kernel.body);

  function runAll(stmts: readonly Stmt[]): void {
    for (const s of stmts) runOne(s);
  }

  function runOne(s: Stmt): void {
    switch (s.kind) {
      case 'let':
        names.set(s.name, value(s.value));
        break;
      case 'tile':
        tiles.set(s.tile.name, s.tile);
        if (s.tile.space === 'register') {
          const zero = Array.from({ length: s.tile.lanes ?? 1 }, () => 0);
          registers.set(
            s.tile.name,
            Array.from({ length: s.tile.shape[0] ?? 0 }, () => zero),
          );
        }
        break;
      case 'store':
        store(s.tile, scalar(s.index), value(s.value));
        break;
      case 'loop':
        runLoop(s.axis, s.body);
        break;
      case 'if':
        runAll(scalar(s.when) !== 0 ? s.then : s.otherwise);
        break;
      case 'role':
        runAll(s.body);
        break;
      case 'prefetch':
      case 'wait':
      case 'comment':
        break;
      case 'barrier':
      case 'copy':
      case 'mma':
        invariant(false, `${s.kind} is for other machine classes`);
        break;
      default:
        unreachable(s);
    }
  }

  function runLoop(axis: Axis, body: readonly Stmt[]): void {
    let [from, to] = [scalar(axis.from), scalar(axis.to)];
    if (axis.bind === 'thread') {
      const share = (n: number): number => Math.trunc((to * n) / run.threads);
      invariant(from === 0, 'thread loops start at 0');
      [from, to] = [share(thread), share(thread + 1)];
    }
    for (let i = from; i < to; i += axis.step) {
      names.set(axis.name, [i]);
      runAll(body);
    }
  }

  /** The address of an element, and the memory that it is in. */
  function place(tile: Tile, index: number, count: number): { view: DataView; at: number } {
    const size = bytesOf[tile.dtype];
    const region =
      tile.space === 'global'
        ? present(regions.get(tile.name))
        : { address: tile.offset ?? 0, bytes: size * tile.shape.reduce((a, b) => a * b, 1) };
    if (!Number.isInteger(index) || index < 0 || (index + count) * size > region.bytes) {
      throw new Failure(
        'kernel/bounds',
        `${kernel.name}: ${tile.name}[${index} : ${count}] is outside its ${region.bytes} bytes`,
      );
    }
    const view = tile.space === 'global' ? run.memory : scratch;
    return { view, at: region.address + index * size };
  }

  function store(name: string, index: number, values: Value): void {
    const tile = present(tiles.get(name), name);
    if (tile.space === 'register') {
      present(registers.get(name))[index] = values;
      return;
    }
    const { view, at } = place(tile, index, values.length);
    values.forEach((v, lane) => {
      const address = at + lane * bytesOf[tile.dtype];
      if (tile.space === 'global')
        run.races.write(address, bytesOf[tile.dtype], thread, kernel.name, name);
      writeAs(view, tile.dtype, address, v);
    });
  }

  function load(name: string, index: number, lanes: number): Value {
    const tile = present(tiles.get(name), name);
    if (tile.space === 'register') return present(registers.get(name)?.[index], name);
    const { view, at } = place(tile, index, lanes);
    return Array.from({ length: lanes }, (_, lane) => {
      const address = at + lane * bytesOf[tile.dtype];
      if (tile.space === 'global')
        run.races.read(address, bytesOf[tile.dtype], thread, kernel.name, name);
      return readAs(view, tile.dtype, address);
    });
  }

  function scalar(e: Expr): number {
    return present(value(e)[0]);
  }

  function value(e: Expr): Value {
    const lanes = (f: (lane: number) => number): Value =>
      Array.from({ length: e.lanes }, (_, lane) => rounded(f(lane), e.dtype));
    const at = (v: Value, lane: number): number => present(v[v.length === 1 ? 0 : lane]);
    switch (e.op) {
      case 'const':
        return lanes(() => e.value);
      case 'var':
        return present(names.get(e.name), e.name);
      case 'load':
        return load(e.tile, scalar(e.index), e.lanes);
      case 'splat': {
        const a = scalar(e.a);
        return lanes(() => a);
      }
      case 'lane':
        return [present(value(e.a)[e.lane])];
      case 'shuffle': {
        const both = [...value(e.a), ...value(e.b)];
        return e.pick.map((p) => present(both[p]));
      }
      case 'select': {
        const when = value(e.when);
        const [a, b] = [value(e.a), value(e.b)];
        return lanes((l) => (at(when, l) !== 0 ? at(a, l) : at(b, l)));
      }
      case 'cast': {
        const a = value(e.a);
        return lanes((l) => (e.dtype === 'i32' ? saturated(at(a, l)) : at(a, l)));
      }
      case 'bits': {
        const a = value(e.a);
        return Array.from({ length: e.lanes }, (_, l) => sameBits(at(a, l), e.a.dtype, e.dtype));
      }
      case 'half': {
        const a = value(e.a);
        return lanes((l) => halfToFloat(at(a, l)));
      }
      case 'tohalf': {
        const a = value(e.a);
        return lanes((l) => halfOf(at(a, l)));
      }
      case 'lookup': {
        const a = value(e.a);
        return lanes((l) => lookedUp(e.table, at(a, l)));
      }
      case 'fma': {
        const [a, b, c] = [value(e.a), value(e.b), value(e.c)];
        return lanes((l) => at(a, l) * at(b, l) + at(c, l));
      }
      case 'neg': case 'abs': case 'sqrt': case 'floor': case 'ceil': case 'trunc': case 'round':
      case 'exp': case 'log': case 'sin': case 'cos': case 'tanh': case 'erf': case 'not': {
        const a = value(e.a);
        return lanes((l) => applyUnary(e.op, at(a, l)));
      }
      case 'add': case 'sub': case 'mul': case 'div': case 'rem': case 'min': case 'max':
      case 'and': case 'or': case 'xor': case 'shl': case 'shr': {
        const [a, b] = [value(e.a), value(e.b)];
        return lanes((l) => applyArithmetic(e.op, at(a, l), at(b, l), e.dtype === 'i32'));
      }
      case 'lt': case 'le': case 'gt': case 'ge': case 'eq': case 'ne': {
        const [a, b] = [value(e.a), value(e.b)];
        return lanes((l) => (applyCompare(e.op, at(a, l), at(b, l)) ? 1 : 0));
      }
      case 'dot4': {
        const [a, b, c] = [value(e.a), value(e.b), value(e.c)];
        const unsigned = e.variant === 'u8s8';
        return lanes((l) => at(c, l) + fourProducts(at(a, l), at(b, l), unsigned));
      }
      case 'dots': {
        const [a, b, c] = [e.left.map(value), e.right.map(value), value(e.c)];
        return lanes((l) =>
          a.reduce((sum, x, i) => sum + fourProducts(at(x, l), at(present(b[i]), l), false), at(c, l)),
        );
      }
      case 'pairs': {
        const a = value(e.a);
        const first = e.from === 'low' ? 0 : 2 * e.lanes;
        const byte = (i: number): number => byteAt(at(a, i >> 2), 8 * (i & 3), !e.signed);
        return lanes((l) => pairOf(byte(first + 2 * l), byte(first + 2 * l + 1)));
      }
      case 'dot2': {
        const [a, b, c] = [value(e.a), value(e.b), value(e.c)];
        return lanes((l) => {
          const [x, y] = [at(a, l), at(b, l)];
          return at(c, l) + lowOf(x) * lowOf(y) + (x >> 16) * (y >> 16);
        });
      }
      case 'at':
      case 'sum':
        throw new Failure('kernel/expression', `${kernel.name}: ${e.op} has no meaning here`);
      default:
        return unreachable(e);
    }
  } // prettier-ignore
}
