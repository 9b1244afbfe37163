/** One kernel by itself over arrays of 32-bit words that lie one after the other in memory. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DType } from '../../compiler/base/type.ts';
import { interpretKernel } from '../../compiler/5-kernel/interpret.ts';
import type { Kernel, Stmt } from '../../compiler/5-kernel/kernel.ts';
import { makeRaceLog } from '../../compiler/5-kernel/races.ts';
import { loop, store } from '../../compiler/5-kernel/statements.ts';
import type { Program } from '../../compiler/6-program/program.ts';
import type { LlvmVariant } from '../../compiler/7-emit/llvm.ts';
import { assembleWasm } from '../../compiler/7-emit/wasm.ts';
import { emitKernel } from '../../compiler/7-emit/wat-kernel.ts';
import {
  type Dot4, type Expr, add, arithmetic, dot2, dots, int, load, lookup, mul, pairsOf, shuffle, variable,
} from '../../compiler/scalar/expr.ts'; // prettier-ignore
import { nativeRunner } from './native-run.ts';

/** A kernel over arrays of these names. */
export const kernelOver = (
  arrays: Readonly<Record<string, DType>>,
  body: readonly Stmt[],
): Kernel => ({
  name: 'one',
  params: Object.entries(arrays).map(([name, dtype]) => ({
    name,
    dtype,
    shape: [],
    layout: { strides: [1] },
    space: 'global',
    owner: 'grid',
  })),
  scalars: ['t', 'r', 'blocks'],
  body,
  scratchBytes: 0,
  schedule: {},
  orderKept: true,
});

/** c[i] += dot4(a[i], b[i]) of words, some lanes at a time. */
export function dotKernel(words: number, variant: Dot4, lanes = 4): Kernel {
  const i = variable('i');
  const [a, b, c] = ['a', 'b', 'c'].map((t) => load(t, i, 'i32', lanes));
  if (!a || !b || !c) throw new Error('three tiles');
  const value = { op: 'dot4', variant, a, b, c, dtype: 'i32', lanes } as const;
  const body = [loop('i', 0, words, [store('c', i, value)], 'vector', lanes)];
  return kernelOver({ a: 'i32', b: 'i32', c: 'i32' }, body);
}

/** The first vector of c += the products of `terms` vectors of a and b, those that there are over and over. */
export function dotsKernel(words: number, terms: number, most: number, lanes = 4): Kernel {
  const term = (tile: string, i: number): Expr => load(tile, int((i * lanes) % words), 'i32', lanes); // prettier-ignore
  const [left, right] = ['a', 'b'].map((t) => Array.from({ length: terms }, (_, i) => term(t, i)));
  if (!left || !right) throw new Error('two sides');
  const value = dots(left, right, load('c', int(0), 'i32', lanes), most);
  return kernelOver({ a: 'i32', b: 'i32', c: 'i32' }, [store('c', 0, value)]);
}

/** b[i] = the entries of `table` that the bytes of a[i] number, some lanes at a time. */
export function lookupKernel(words: number, table: readonly number[], lanes = 4): Kernel {
  const i = variable('i');
  const found = lookup(load('a', i, 'i32', lanes), table);
  const body = [loop('i', 0, words, [store('b', i, found)], 'vector', lanes)];
  return kernelOver({ a: 'i32', b: 'i32' }, body);
}

/**
 * c[i] += dot2 of bytes of the first half of `a`, as pairs, with pairs of `b`: those in step with them, or
 * the first two over and over. `flip`: the sign bits of the bytes are turned before.
 */
export function pairsKernel(
  words: number,
  { signed, flip = false, over = false }: { signed: boolean; flip?: boolean; over?: boolean },
  lanes = 4,
): Kernel {
  const i = variable('i');
  const bytes = load('a', i, 'i32', lanes);
  const turned = arithmetic('xor', bytes, { ...int(0x80808080 | 0), lanes });
  const two = load('b', int(0), 'i32', 2);
  const repeated = shuffle(two, two, Array.from({ length: lanes }, (_, l) => l % 2)); // prettier-ignore
  const stores = pairsOf(flip ? turned : bytes, signed).map((half, which) => {
    const at = add(mul(i, int(2)), int(which * lanes));
    const b = over ? repeated : load('b', at, 'i32', lanes);
    return store('c', at, dot2(half, b, load('c', at, 'i32', lanes)));
  });
  const body = [loop('i', 0, words / 2, stores, 'vector', lanes)];
  return kernelOver({ a: 'i32', b: 'i32', c: 'i32' }, body);
}

/** Bytes of the memory after the kernel ran over it; its arrays have the same size. */
export function interpreted(kernel: Kernel, bytes: Uint8Array): Uint8Array {
  const memory = new DataView(bytes.slice().buffer);
  const each = bytes.byteLength / kernel.params.length;
  interpretKernel(kernel, {
    memory,
    regions: kernel.params.map((_, i) => ({ address: i * each, bytes: each })),
    scalars: { t: 1, r: 1, blocks: 1 },
    threads: 1,
    races: makeRaceLog(memory.byteLength),
  });
  return new Uint8Array(memory.buffer);
}

/** Runs where relaxed SIMD is: Node 20 has it behind a flag that only a new process can set. */
const script = `
const { readFileSync, writeFileSync } = require('node:fs');
const [module, memories, arrays, bytes] = process.argv.slice(1);
const memory = new WebAssembly.Memory({ initial: 64 });
const all = readFileSync(memories);
const instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(module)), { env: { memory } });
const at = Array.from({ length: Number(arrays) }, (_, i) => (i * bytes) / arrays);
for (let i = 0; i < all.length; i += Number(bytes)) {
  new Uint8Array(memory.buffer).set(all.subarray(i, i + Number(bytes)));
  instance.exports.one(...at, 1, 1, 1, 0, 1, 0);
  all.set(new Uint8Array(memory.buffer, 0, Number(bytes)), i);
}
writeFileSync(memories, all);`;

export async function inWasm(
  kernel: Kernel,
  relaxed: boolean,
  cases: readonly Uint8Array[],
): Promise<Uint8Array[]> {
  const text = emitKernel(kernel, 'one', { relaxed, address: 'i32' });
  const module = await assembleWasm(
    `(module (import "env" "memory" (memory 1)) ${text} (export "one" (func $one)))`,
  );
  const folder = mkdtempSync(join(tmpdir(), 'kernel-'));
  const [binary, memories] = [join(folder, 'm.wasm'), join(folder, 'memories')];
  writeFileSync(binary, module);
  writeFileSync(memories, Buffer.concat(cases));
  const flags =
    Number(process.versions.node.split('.')[0]) < 22 ? ['--experimental-wasm-relaxed-simd'] : [];
  const size = cases[0]?.byteLength ?? 0;
  const args = [binary, memories, String(kernel.params.length), String(size)];
  execFileSync(process.execPath, [...flags, '-e', script, ...args]);
  const out = new Uint8Array(readFileSync(memories));
  return cases.map((_, i) => out.slice(i * size, (i + 1) * size));
}

/** The kernel as the only launch of a program whose arena holds the arrays. */
export function programOf(kernel: Kernel, bytes: number): Program {
  const arena = (offset: number) => ({ kind: 'arena', offset, stride: 0 }) as const;
  const each = bytes / kernel.params.length;
  return {
    name: 'one',
    limits: { tokens: 1, rows: 1 },
    kernels: [kernel],
    body: [{ kind: 'launch', kernel: 0, args: kernel.params.map((_, i) => arena(i * each)) }],
    memory: {
      arenaBytes: bytes,
      scratchBytes: 0,
      weightBytes: 0,
      stateBytesPerSlot: 0,
      buffers: [],
    },
    weights: [],
    states: [],
    output: { offset: 0, width: 1, rowBytes: 4 },
  };
}

export async function inNative(
  variant: LlvmVariant,
  kernel: Kernel,
  cases: readonly Uint8Array[],
): Promise<Uint8Array[]> {
  const run = nativeRunner(variant, 1);
  const program = programOf(kernel, cases[0]?.byteLength ?? 0);
  const out: Uint8Array[] = [];
  for (const bytes of cases) {
    const memory = new DataView(bytes.slice().buffer);
    const places = { memory, arena: 0, weights: 0, state: 0, step: new Map(), slots: 0 };
    await run(program, places, { t: 1, r: 1, blocks: 1, threads: 1 });
    out.push(new Uint8Array(memory.buffer));
  }
  return out;
}
