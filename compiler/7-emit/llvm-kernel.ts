/** A kernel as an LLVM function. Names live in stack slots, which `opt` makes values again. */
import { invariant, present, unreachable } from '../base/invariant.ts';
import { bytesOf } from '../base/type.ts';
import { threadShare } from '../5-kernel/statements.ts';
import { expandMath } from '../5-kernel/math.ts';
import { type Kernel, type Stmt, type Tile, scalarOf } from '../5-kernel/kernel.ts';
import { type LlvmContext, address, emitLlvmExpr } from './llvm-expr.ts';
import {
  type LlvmBody, type LlvmFeatures, assign, constant, llvmType, memoryType, of,
} from './llvm-value.ts'; // prettier-ignore

interface Emission extends LlvmContext {
  readonly tiles: Map<string, Tile>;
  slot(name: string, type: string): void;
}

/** Text of a function under construction; `declare` collects signatures for the module. */
export function makeBody(declared: Set<string>): LlvmBody & { readonly lines: string[] } {
  const lines: string[] = [];
  let values = 0;
  let labels = 0;
  return {
    lines,
    line: (text) => {
      lines.push(text);
    },
    fresh: () => `%x${values++}`,
    label: () => labels++,
    declare: (signature) => {
      declared.add(signature);
    },
  };
}

/** Parameters: the address of each tile, the scalars, thread, threads, and the thread's scratch. */
export function emitLlvmKernel(
  kernel: Kernel,
  name: string,
  features: LlvmFeatures,
  declared: Set<string>,
): string {
  const { body: statements, params, scalars } = expandMath(kernel);
  const tiles = new Map<string, Tile>(params.map((t) => [t.name, t]));
  const slots = new Map<string, string>();
  const body = makeBody(declared);
  const s: Emission = {
    features,
    body,
    tiles,
    tile: (n) => present(tiles.get(n), `tile ${n}`),
    register: (n, i) => `%v.${n}.r${i}`,
    slot: (n, type) => {
      const had = slots.get(n);
      invariant(had === undefined || had === type, () => `local ${n} is ${had} and ${type}`);
      slots.set(n, type);
    },
  };
  const integers = [...scalars, 'thread', 'threads'];
  for (const n of integers) {
    s.slot(`%v.${n}`, 'i32');
    body.line(`store i32 %a.${n}, i32* %v.${n}`);
  }
  statements.forEach((x) => emitStmt(s, x));
  const header = [
    ...params.map((t) => `i8* %p.${t.name}`),
    ...integers.map((n) => `i32 %a.${n}`),
    'i8* %scratch',
  ];
  return [
    `; ${kernel.name}`,
    `define internal void @${name}(${header.join(', ')}) #0 {`,
    ...[...slots].map(([n, type]) => `  ${n} = alloca ${type}`),
    ...body.lines.map((l) => `  ${l}`),
    '  ret void',
    '}',
    '',
  ].join('\n');
}

function emitStmt(s: Emission, stmt: Stmt): void {
  const { body } = s;
  switch (stmt.kind) {
    case 'let': {
      const type = llvmType(stmt.value.dtype, stmt.value.lanes);
      s.slot(`%v.${stmt.name}`, type);
      body.line(`store ${type} ${emitLlvmExpr(s, stmt.value)}, ${type}* %v.${stmt.name}`);
      break;
    }
    case 'tile':
      s.tiles.set(stmt.tile.name, stmt.tile);
      if (stmt.tile.space === 'register') clearRegisters(s, stmt.tile);
      break;
    case 'store':
      emitStore(s, stmt);
      break;
    case 'loop':
      emitLoop(s, stmt);
      break;
    case 'if': {
      const n = body.label();
      body.line(`br i1 ${emitLlvmExpr(s, stmt.when)}, label %then${n}, label %else${n}`);
      body.line(`then${n}:`);
      stmt.then.forEach((x) => emitStmt(s, x));
      body.line(`br label %end${n}`);
      body.line(`else${n}:`);
      stmt.otherwise.forEach((x) => emitStmt(s, x));
      body.line(`br label %end${n}`);
      body.line(`end${n}:`);
      break;
    }
    case 'role':
      stmt.body.forEach((x) => emitStmt(s, x));
      break;
    case 'prefetch': {
      const at = address(s, stmt.tile, stmt.index, 'i8');
      body.declare('void @llvm.prefetch.p0i8(i8*, i32, i32, i32)');
      // Into the second level: the first has better to hold than what comes later.
      body.line(`call void @llvm.prefetch.p0i8(i8* ${at}, i32 0, i32 2, i32 1)`);
      break;
    }
    case 'comment':
      body.line(`; ${stmt.text}`);
      break;
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

function clearRegisters(s: Emission, tile: Tile): void {
  const lanes = tile.lanes ?? 1;
  const dtype = scalarOf(tile.dtype);
  const type = llvmType(dtype, lanes);
  for (let i = 0; i < (tile.shape[0] ?? 0); i++) {
    const name = s.register(tile.name, i);
    s.slot(name, type);
    s.body.line(`store ${type} ${constant(0, dtype, lanes)}, ${type}* ${name}`);
  }
}

function emitStore(s: Emission, stmt: Extract<Stmt, { kind: 'store' }>): void {
  const tile = s.tile(stmt.tile);
  const { dtype, lanes } = stmt.value;
  const type = llvmType(dtype, lanes);
  const value = emitLlvmExpr(s, stmt.value);
  if (tile.space === 'register') {
    invariant(stmt.index.op === 'const', 'registers are addressed by constants');
    s.body.line(`store ${type} ${value}, ${type}* ${s.register(stmt.tile, stmt.index.value)}`);
    return;
  }
  const stored = of(memoryType(tile.dtype), lanes);
  const at = address(s, stmt.tile, stmt.index, stored);
  const how = dtype === 'bool' ? 'zext' : 'trunc';
  const fit = stored === type ? value : assign(s.body, `${how} ${type} ${value} to ${stored}`);
  s.body.line(`store ${stored} ${fit}, ${stored}* ${at}, align ${bytesOf[tile.dtype]}`);
}

/** Loops test at the bottom, after one test whether to enter at all. */
function emitLoop(s: Emission, stmt: Extract<Stmt, { kind: 'loop' }>): void {
  const { axis } = stmt;
  invariant(axis.bind !== 'unroll', 'unrolled loops are written out before printing');
  const { body } = s;
  const n = body.label();
  const counter = `%v.${axis.name}`;
  s.slot(counter, 'i32');
  const { from, to } = axis.bind === 'thread' ? threadShare(axis) : axis;
  const end = emitLlvmExpr(s, to);
  const first = emitLlvmExpr(s, from);
  body.line(`store i32 ${first}, i32* ${counter}`);
  const enter = assign(body, `icmp slt i32 ${first}, ${end}`);
  body.line(`br i1 ${enter}, label %loop${n}, label %after${n}`);
  body.line(`loop${n}:`);
  stmt.body.forEach((x) => emitStmt(s, x));
  const now = assign(body, `load i32, i32* ${counter}`);
  const next = assign(body, `add nsw i32 ${now}, ${axis.step}`);
  body.line(`store i32 ${next}, i32* ${counter}`);
  const again = assign(body, `icmp slt i32 ${next}, ${end}`);
  body.line(`br i1 ${again}, label %loop${n}, label %after${n}`);
  body.line(`after${n}:`);
}
