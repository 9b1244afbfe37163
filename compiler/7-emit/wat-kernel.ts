/** A kernel as a WebAssembly function. */
import { invariant, present, unreachable } from '../base/invariant.ts';
import { makeWriter, type Writer } from '../base/writer.ts';
import { bytesOf } from '../base/type.ts';
import type { Expr } from '../scalar/expr.ts';
import { threadShare } from '../5-kernel/statements.ts';
import { expandMath } from '../5-kernel/math.ts';
import { type Kernel, type Stmt, type Tile, scalarOf } from '../5-kernel/kernel.ts';
import { type ExprContext, type WasmType, addressText, emitExpr, wasmType } from './wat-expr.ts';

/** Names in the text format: letters, digits and underscores here. */
export const watName = (name: string): string => name.replace(/[^A-Za-z0-9_]/g, '_');

export type KernelOptions = Pick<ExprContext, 'relaxed' | 'address'>;

/** Parameters: the address of each tile, the scalars, thread, threads, and the thread's scratch. */
export function emitKernel(
  kernel: Kernel,
  name: string,
  { relaxed, address }: KernelOptions,
): string {
  const { body, params, scalars } = expandMath(kernel, { halves: true });
  const tiles = new Map<string, Tile>(params.map((t) => [t.name, t]));
  const locals = new Map<string, WasmType>();
  let vectors = 0;
  const w = makeWriter();
  const context: ExprContext = {
    relaxed,
    address,
    tile: (n) => present(tiles.get(n), `tile ${n}`),
    register: (n, i) => `${n}_r${i}`,
    vector: () => {
      const name = `held_v${vectors++}`;
      declare(name, 'v128');
      return name;
    },
  };
  const declare = (n: string, type: WasmType): void => {
    const had = locals.get(n);
    invariant(had === undefined || had === type, () => `local ${n} is ${had} and ${type}`);
    locals.set(n, type);
  };
  const inner = makeWriter();
  const state: Emission = { context, declare, tiles, labels: 0 };
  inner.indent(() => body.forEach((s) => emitStmt(state, inner, s)));
  const header = [
    ...params.map((t) => `(param $${t.name} ${address})`),
    ...scalars.map((s) => `(param $${s} i32)`),
    `(param $thread i32) (param $threads i32) (param $scratch ${address})`,
  ];
  w.line(`;; ${kernel.name}`);
  w.line(`(func $${name} ${header.join(' ')}`);
  w.indent(() => {
    for (const [n, type] of locals) w.line(`(local $${n} ${type})`);
  });
  return `${w.text()}${inner.text()})\n`;
}

interface Emission {
  readonly context: ExprContext;
  readonly tiles: Map<string, Tile>;
  declare(name: string, type: WasmType): void;
  labels: number;
}

function emitStmt(s: Emission, w: Writer, stmt: Stmt): void {
  const text = (e: Expr): string => emitExpr(s.context, e);
  switch (stmt.kind) {
    case 'let':
      s.declare(stmt.name, wasmType(stmt.value.dtype, stmt.value.lanes));
      w.line(`(local.set $${stmt.name} ${text(stmt.value)})`);
      break;
    case 'tile':
      s.tiles.set(stmt.tile.name, stmt.tile);
      if (stmt.tile.space === 'register') clearRegisters(s, w, stmt.tile);
      break;
    case 'store':
      emitStore(s, w, stmt);
      break;
    case 'loop':
      emitLoop(s, w, stmt);
      break;
    case 'if':
      w.line(`(if ${text(stmt.when)}`);
      w.indent(() => {
        w.line('(then');
        w.indent(() => stmt.then.forEach((x) => emitStmt(s, w, x)));
        w.line(')');
        if (stmt.otherwise.length > 0) {
          w.line('(else');
          w.indent(() => stmt.otherwise.forEach((x) => emitStmt(s, w, x)));
          w.line(')');
        }
      });
      w.line(')');
      break;
    case 'role':
      stmt.body.forEach((x) => emitStmt(s, w, x));
      break;
    case 'comment':
      w.line(`;; ${stmt.text}`);
      break;
    case 'prefetch':
    case 'wait':
      break; // one thread's program order is enough here
    case 'barrier':
    case 'copy':
    case 'mma':
      invariant(false, `${stmt.kind} is for other machine classes`);
      break;
    default:
      unreachable(stmt);
  }
}

function clearRegisters(s: Emission, w: Writer, tile: Tile): void {
  const lanes = tile.lanes ?? 1;
  const dtype = scalarOf(tile.dtype);
  const type = wasmType(dtype, lanes);
  const zero: Expr = { op: 'const', value: 0, dtype, lanes };
  for (let i = 0; i < (tile.shape[0] ?? 0); i++) {
    const name = s.context.register(tile.name, i);
    s.declare(name, type);
    w.line(`(local.set $${name} ${emitExpr(s.context, zero)})`);
  }
}

function emitStore(s: Emission, w: Writer, stmt: Extract<Stmt, { kind: 'store' }>): void {
  const tile = s.context.tile(stmt.tile);
  const value = emitExpr(s.context, stmt.value);
  if (tile.space === 'register') {
    invariant(stmt.index.op === 'const', 'registers are addressed by constants');
    w.line(`(local.set $${s.context.register(stmt.tile, stmt.index.value)} ${value})`);
    return;
  }
  const at = addressText(s.context, stmt.tile, stmt.index);
  if (stmt.value.lanes > 1) {
    const bytes = bytesOf[tile.dtype];
    if (bytes === 4) {
      w.line(`(v128.store ${at} ${value})`);
      return;
    }
    const zeros = '(v128.const i32x4 0 0 0 0)';
    if (bytes === 2) {
      // Raw bits of 16 each: what narrows saturates, which leaves them as they are.
      const [offset, address] = splitOffset(at);
      const narrow = `(i16x8.narrow_i32x4_u ${value} ${zeros})`;
      w.line(`(v128.store64_lane ${offset}0 ${address} ${narrow})`);
      return;
    }
    invariant(bytes === 1, 'vectors of 32-bit, 16-bit or 8-bit elements');
    // The lowest byte of each lane, side by side.
    const low = [0, 4, 8, 12, ...Array.from({ length: 12 }, () => 0)].join(' ');
    const word = `(i32x4.extract_lane 0 (i8x16.shuffle ${low} ${value} ${zeros}))`;
    w.line(`(i32.store ${at} ${word})`);
    return;
  }
  const type = tile.dtype === 'f32' || tile.dtype === 'f64' ? tile.dtype : 'i32';
  const narrow = bytesOf[tile.dtype] < 4 ? String(bytesOf[tile.dtype] * 8) : '';
  w.line(`(${type}.store${narrow} ${at} ${value})`);
}

/** `offset=n ` and the rest of an address: between them stands what else an instruction is told. */
function splitOffset(at: string): readonly [string, string] {
  const end = at.startsWith('offset=') ? at.indexOf(' ') + 1 : 0;
  return [at.slice(0, end), at.slice(end)];
}

/** Loops test at the bottom, after one test whether to enter at all. */
function emitLoop(s: Emission, w: Writer, stmt: Extract<Stmt, { kind: 'loop' }>): void {
  const { axis, body } = stmt;
  if (axis.bind === 'unroll') {
    invariant(false, 'unrolled loops are written out before printing');
  }
  const text = (e: Expr): string => emitExpr(s.context, e);
  const label = `${axis.name}_${s.labels++}`;
  s.declare(axis.name, 'i32');
  const { from, to } = axis.bind === 'thread' ? threadShare(axis) : axis;
  const end = to.op === 'const' || to.op === 'var' ? to : undefined;
  const name = `${label}_end`;
  if (!end) {
    s.declare(name, 'i32');
    w.line(`(local.set $${name} ${text(to)})`);
  }
  const bound = end ? text(end) : `(local.get $${name})`;
  w.line(`(local.set $${axis.name} ${text(from)})`);
  const known = from.op === 'const' && to.op === 'const';
  if (known && from.value >= to.value) return;
  if (!known) {
    w.line(`(if (i32.lt_s (local.get $${axis.name}) ${bound})`);
    w.line('(then');
  }
  w.indent(() => {
    w.line(`(loop $${label}`);
    w.indent(() => {
      if (accumulates(s, body)) w.line('(loop)');
      body.forEach((x) => emitStmt(s, w, x));
      const next = `(i32.add (local.get $${axis.name}) (i32.const ${axis.step}))`;
      w.line(`(br_if $${label} (i32.lt_s (local.tee $${axis.name} ${next}) ${bound}))`);
    });
    w.line(')');
  });
  if (!known) w.line('))');
}

/**
 * A loop that keeps sums of vectors in registers is written out as far as the schedule wants it. V8
 * would unroll it once more, put all loads first and spill what they fill; it leaves loops alone that
 * hold another one, an empty one too.
 */
const accumulates = (s: Emission, body: readonly Stmt[]): boolean =>
  body.some(
    (x) => x.kind === 'store' && x.value.lanes > 1 && s.tiles.get(x.tile)?.space === 'register',
  );
