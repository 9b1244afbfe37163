/**
 * The most products of bytes that cores add up, in native code and in wasm, as an engine: asked for a
 * prefill it answers with the tokens per second that its products would make of the model.
 */
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { assembleWasm } from '../../compiler/7-emit/wasm.ts';
import type { Answer, Engine } from './engine.ts';
import type { ModelFile } from './models.ts';
import { type Tools, root } from './tools.ts';

const run = promisify(execFile);

type Kind = 'wasm-peak' | 'native-peak';

export async function startPeak(
  name: string,
  kind: Kind,
  threads: number,
  file: ModelFile,
  tools: Tools,
): Promise<Engine> {
  const [program, ...args] = await (kind === 'wasm-peak' ? wasmLoops(tools) : nativeLoops(tools));
  if (program === undefined) throw new Error('no loops');
  const ask = async (tokens: number): Promise<Answer> => {
    // A process a thread, all at the same time.
    const one = async (): Promise<ReadonlyMap<string, number>> => {
      const { stdout } = await run(program, [...args, '1']);
      return new Map(stdout.trim().split('\n').map(parseLine));
    };
    const all = await Promise.all(Array.from({ length: threads }, one));
    const rates = new Map<string, number>();
    for (const m of all) for (const [k, v] of m) rates.set(k, (rates.get(k) ?? 0) + v);
    const bytes = [...rates].filter(([k]) => !k.startsWith('f32'));
    const best = Math.max(...bytes.map(([, v]) => v));
    const parts = [...rates].map(([k, v]) => `${k} ${(v / 1e9).toFixed(1)}`);
    return {
      // A prompt wants the logits of its last token alone; scores of attention are left out.
      tokensPerSecond: best / (file.layerMacs + file.headMacs / tokens),
      note: `${name}, 10^9 multiplications a second: ${parts.join(', ')}`,
    };
  };
  return {
    name,
    ask: (request) =>
      request.do === 'open' ? Promise.resolve({}) : ask(Number(request['tokens'])),
    close: () => Promise.resolve(),
  };
}

function parseLine(line: string): readonly [string, number] {
  const [name = '', rate = 'NaN'] = line.split(' ');
  return [name, Number(rate)];
}

function nativeLoops({ cache }: Tools): Promise<readonly string[]> {
  mkdirSync(cache, { recursive: true });
  const binary = join(cache, 'peak-loops');
  const source = join(root, 'bench/cpu/peak-loops.c');
  // Processors of ARM are named by -mcpu.
  const machine = process.arch === 'arm64' ? '-mcpu=native' : '-march=native';
  execFileSync('cc', ['-O3', machine, '-ffp-contract=fast', '-o', binary, source]);
  return Promise.resolve([binary]);
}

async function wasmLoops({ cache }: Tools): Promise<readonly string[]> {
  mkdirSync(cache, { recursive: true });
  const path = join(cache, 'peak-loops.wasm');
  writeFileSync(path, await assembleWasm(moduleText(), 'peak-loops'));
  return [process.execPath, join(root, 'bench/cpu/wasm-peak.mjs'), path];
}

const steps = 64;
const rows = 4;
const columns = 3;

interface Loop {
  readonly name: string;
  /** Products of one dot. */
  readonly products: number;
  dot(sum: string, a: string, b: string): string;
}

const loops: readonly Loop[] = [
  {
    name: 'relaxed-i16x8',
    products: 16,
    dot: (c, a, b) =>
      `(i32x4.add ${c} (i32x4.extadd_pairwise_i16x8_s (i16x8.relaxed_dot_i8x16_i7x16_s ${a} ${b})))`,
  },
  {
    name: 'relaxed-i32x4-add',
    products: 16,
    dot: (c, a, b) => `(i32x4.relaxed_dot_i8x16_i7x16_add_s ${a} ${b} ${c})`,
  },
  {
    name: 'plain-i16',
    products: 8,
    dot: (c, a, b) => `(i32x4.add ${c} (i32x4.dot_i16x8_s ${a} ${b}))`,
  },
  {
    name: 'f32-madd',
    products: 4,
    dot: (c, a, b) => `(f32x4.relaxed_madd ${a} ${b} ${c})`,
  },
];

/** 3 x 4 vectors of sums, operands from the first-level cache: what a blocked product does, and no more. */
function loopText({ name, products, dot }: Loop): string {
  const sums = Array.from({ length: rows * columns }, (_, n) => `$c${n}`);
  const a = (i: number): string => `(local.get $a${i})`;
  const b = (j: number): string => `(local.get $b${j})`;
  const loads = [
    ...Array.from({ length: rows }, (_, i) => [`$a${i}`, i * 16]),
    ...Array.from({ length: columns }, (_, j) => [`$b${j}`, (steps * rows + j) * 16]),
  ].map(([local, offset]) => `(local.set ${local} (v128.load offset=${offset} (local.get $p)))`);
  const step = sums.map(
    (c, n) => `(local.set ${c} ${dot(`(local.get ${c})`, a(n % rows), b(Math.floor(n / rows)))})`,
  );
  const total = sums.map((s) => `(local.get ${s})`).reduce((x, y) => `(v128.xor ${x} ${y})`);
  const all = steps * rows * columns * products;
  return `
  (func (export "${name}") (result i32)
    (local $p i32)
    ${[...sums, ...loads.map((_, n) => (n < rows ? `$a${n}` : `$b${n - rows}`))].map((l) => `(local ${l} v128)`).join(' ')}
    (loop $next
      ${[...loads, ...step].join('\n      ')}
      (local.set $p (i32.add (local.get $p) (i32.const ${rows * 16})))
      (br_if $next (i32.lt_u (local.get $p) (i32.const ${steps * rows * 16}))))
    (v128.store offset=0 (i32.const ${steps * (rows + columns) * 16 + 1024}) ${total})
    (i32.const ${all}))`;
}

const moduleText = (): string => `(module (memory 1)${loops.map(loopText).join('')})`;
