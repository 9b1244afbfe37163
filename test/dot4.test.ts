/** Byte products: the kernel interpreter, wasm and native code against plain arithmetic. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { interpretKernel } from '../compiler/5-kernel/interpret.ts';
import type { Kernel, Tile } from '../compiler/5-kernel/kernel.ts';
import { makeRaceLog } from '../compiler/5-kernel/races.ts';
import { loop, store } from '../compiler/5-kernel/statements.ts';
import type { Program } from '../compiler/6-program/program.ts';
import type { LlvmVariant } from '../compiler/7-emit/llvm.ts';
import { assembleWasm } from '../compiler/7-emit/wasm.ts';
import { emitKernel } from '../compiler/7-emit/wat-kernel.ts';
import { type Dot4, load, variable } from '../compiler/scalar/expr.ts';
import { missingTools, nativeRunner } from './helpers/native-run.ts';

const words = 32;
const missing = missingTools();
const note = missing.length > 0 ? ` (skipped without ${missing.join(', ')})` : '';
const cpu = process.platform === 'linux' ? readFileSync('/proc/cpuinfo', 'utf8') : '';
const tile = (name: string): Tile => ({
  name,
  dtype: 'i32',
  shape: [],
  layout: { strides: [1] },
  space: 'global',
  owner: 'grid',
});

/** c[i] += dot4(a[i], b[i]), some lanes at a time. */
function kernelOf(variant: Dot4, lanes = 4): Kernel {
  const i = variable('i');
  const [a, b, c] = ['a', 'b', 'c'].map((t) => load(t, i, 'i32', lanes));
  if (!a || !b || !c) throw new Error('three tiles');
  const value = { op: 'dot4', variant, a, b, c, dtype: 'i32', lanes } as const;
  return {
    name: 'dots',
    params: ['a', 'b', 'c'].map(tile),
    scalars: ['t', 'r', 'blocks'],
    body: [loop('i', 0, words, [store('c', i, value)], 'vector', lanes)],
    scratchBytes: 0,
    schedule: {},
    orderKept: true,
  };
}

/** By bytes, as the variants' names say. */
function expected(variant: Dot4, a: Int8Array, b: Int8Array, c: Int32Array): number[] {
  const left = variant === 'u8s8' ? new Uint8Array(a.buffer) : a;
  return [...c].map((sum, i) => {
    let total = sum;
    for (let j = 4 * i; j < 4 * i + 4; j++) total += (left[j] ?? 0) * (b[j] ?? 0);
    return total | 0;
  });
}

const memoryOf = (a: Int8Array, b: Int8Array, c: Int32Array): Uint8Array => {
  const bytes = new Uint8Array(3 * 4 * words);
  [a, b, c].forEach((x, i) =>
    bytes.set(new Uint8Array(x.buffer, x.byteOffset, x.byteLength), i * 4 * words),
  );
  return bytes;
};

function interpreted(kernel: Kernel, bytes: Uint8Array): number[] {
  const memory = new DataView(bytes.slice().buffer);
  interpretKernel(kernel, {
    memory,
    regions: [0, 1, 2].map((i) => ({ address: i * 4 * words, bytes: 4 * words })),
    scalars: { t: 1, r: 1, blocks: 1 },
    threads: 1,
    races: makeRaceLog(memory.byteLength),
  });
  return [...new Int32Array(memory.buffer, 8 * words)];
}

/** The kernel's function in a module of its own. */
const assembled = (kernel: Kernel, relaxed: boolean): Promise<Uint8Array> =>
  assembleWasm(
    `(module (import "env" "memory" (memory 1)) ${emitKernel(kernel, 'dots', relaxed)} (export "dots" (func $dots)))`,
  );

/** Runs where relaxed SIMD is: Node 20 has it behind a flag that only a new process can set. */
const program = `
const { readFileSync } = require('node:fs');
const [module, input] = process.argv.slice(1);
const memory = new WebAssembly.Memory({ initial: 1 });
const cases = JSON.parse(readFileSync(input, 'utf8'));
const instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(module)), { env: { memory } });
const n = ${4 * words};
console.log(JSON.stringify(cases.map((bytes) => {
  new Uint8Array(memory.buffer).set(bytes);
  instance.exports.dots(0, n, 2 * n, 1, 1, 1, 0, 1, 0);
  return [...new Int32Array(memory.buffer, 2 * n, ${words})];
})));`;

function inWasm(module: Uint8Array, cases: readonly Uint8Array[]): number[][] {
  const folder = mkdtempSync(join(tmpdir(), 'dot4-'));
  writeFileSync(join(folder, 'm.wasm'), module);
  writeFileSync(join(folder, 'cases.json'), JSON.stringify(cases.map((c) => [...c])));
  const flags =
    Number(process.versions.node.split('.')[0]) < 22 ? ['--experimental-wasm-relaxed-simd'] : [];
  const args = [...flags, '-e', program, join(folder, 'm.wasm'), join(folder, 'cases.json')];
  const out = execFileSync(process.execPath, args, { encoding: 'utf8' });
  return JSON.parse(out) as number[][]; // printed by the program above
}

/** The kernel as the only launch of a program whose arena holds the three arrays. */
function programOf(kernel: Kernel): Program {
  const arena = (offset: number) => ({ kind: 'arena', offset, stride: 0 }) as const;
  return {
    name: 'dots',
    limits: { tokens: 1, rows: 1 },
    kernels: [kernel],
    body: [{ kind: 'launch', kernel: 0, args: [0, 1, 2].map((i) => arena(i * 4 * words)) }],
    memory: {
      arenaBytes: 12 * words,
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

async function inNative(
  variant: LlvmVariant,
  kernel: Kernel,
  cases: readonly Uint8Array[],
): Promise<number[][]> {
  const run = nativeRunner(variant, 1);
  const program = programOf(kernel);
  const out: number[][] = [];
  for (const bytes of cases) {
    const memory = new DataView(bytes.slice().buffer);
    const places = { memory, arena: 0, weights: 0, state: 0, step: new Map(), slots: 0 };
    await run(program, places, { t: 1, r: 1, blocks: 1, threads: 1 });
    out.push([...new Int32Array(memory.buffer, 8 * words)]);
  }
  return out;
}

describe.each(['u8s8', 's8s8', 'i8i7'] as const)('%s', (variant) => {
  const kernel = kernelOf(variant);
  const byte = fc.oneof(fc.integer({ min: -128, max: 127 }), fc.constantFrom(-128, -1, 0, 127));
  const seven = fc.oneof(fc.integer({ min: 0, max: 127 }), fc.constantFrom(0, 127));
  const many = <T extends fc.Arbitrary<number>>(of: T, count: number) =>
    fc.array(of, { minLength: count, maxLength: count });
  const inputs = fc.record({
    a: many(byte, 4 * words).map((x) => Int8Array.from(x)),
    b: many(variant === 'i8i7' ? seven : byte, 4 * words).map((x) => Int8Array.from(x)),
    c: many(fc.integer(), words).map((x) => Int32Array.from(x)),
  });

  test('the interpreter is exact', () => {
    fc.assert(
      fc.property(inputs, ({ a, b, c }) => {
        expect(interpreted(kernel, memoryOf(a, b, c))).toEqual(expected(variant, a, b, c));
      }),
    );
  });

  test.each([true, false])('wasm is exact, relaxed: %s', async (relaxed) => {
    const module = await assembled(kernel, relaxed);
    const cases = fc.sample(inputs, 200);
    const found = inWasm(
      module,
      cases.map(({ a, b, c }) => memoryOf(a, b, c)),
    );
    cases.forEach(({ a, b, c }, i) => expect(found[i]).toEqual(expected(variant, a, b, c)));
  });

  for (const isa of ['avx2', 'avx512'] as const) {
    const flag = isa === 'avx512' ? 'avx512_vnni' : 'avx2';
    const lacks =
      process.arch !== 'x64' || !cpu.includes(flag) ? ` (skipped without ${flag})` : note;
    test.skipIf(lacks !== '').each([4, 8, 16])(
      `native code for ${isa} is exact, %i lanes${lacks}`,
      async (lanes) => {
        const cases = fc.sample(inputs, 5);
        const memories = cases.map(({ a, b, c }) => memoryOf(a, b, c));
        const found = await inNative({ os: 'linux', isa }, kernelOf(variant, lanes), memories);
        cases.forEach(({ a, b, c }, i) => expect(found[i]).toEqual(expected(variant, a, b, c)));
      },
      30_000,
    );
  }
});
