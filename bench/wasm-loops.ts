/** The read loops of `read-loops.c` as WebAssembly, for machines without a C compiler. */
import loadWabt from 'wabt';
import { type Bandwidth, bestOf } from './bandwidth.ts';
import { median } from './statistics.ts';

const streamCounts = [1, 2, 4, 8];
/** Vectors of 16 bytes that one round takes from each stream. */
const vectorsOf = (streams: number): number => 8 / streams;

/** Reads a buffer of `bytes` for about `seconds` and gives the best number of streams. */
export async function openWasmLoops(): Promise<(bytes: number, seconds: number) => Bandwidth> {
  const wabt = await loadWabt();
  const parsed = wabt.parseWat('read-loops.wat', moduleText(), { simd: true });
  const module = new WebAssembly.Module(new Uint8Array(parsed.toBinary({}).buffer));
  parsed.destroy();

  return (bytes, seconds) => {
    const pages = Math.ceil(bytes / 65536);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    new Uint32Array(memory.buffer).forEach((_, i, all) => (all[i] = Math.imul(i, 0x9e3779b9)));
    const instance = new WebAssembly.Instance(module, { env: { memory } });
    return bestOf(
      streamCounts.map((streams) => ({
        streams,
        gigabytesPerSecond: timeOf(instance, streams, bytes, seconds / streamCounts.length),
      })),
    );
  };
}

function timeOf(
  instance: WebAssembly.Instance,
  streams: number,
  bytes: number,
  seconds: number,
): number {
  const read = instance.exports[`read${streams}`];
  if (typeof read !== 'function') throw new Error(`read${streams} is not exported`);
  const part = Math.floor(bytes / streams / 128) * 128;
  const times = Math.max(1, Math.floor((1 << 26) / bytes));
  const took: number[] = [];
  for (const end = performance.now() + seconds * 1000; performance.now() < end;) {
    const from = performance.now();
    for (let k = 0; k < times; k++) read(part);
    took.push((performance.now() - from) / times);
  }
  return (part * streams) / median(took) / 1e6;
}

const moduleText = (): string =>
  `(module (import "env" "memory" (memory 1))\n${streamCounts.map(loopText).join('\n')})`;

function loopText(streams: number): string {
  const vectors = vectorsOf(streams);
  const sums = Array.from({ length: streams * vectors }, (_, n) => `$sum${n}`);
  const bases = Array.from({ length: streams }, (_, s) => `$p${s}`);
  const step = (n: number): string => {
    const base = bases[Math.floor(n / vectors)] ?? '';
    const load = `(v128.load offset=${(n % vectors) * 16} (local.get ${base}))`;
    return `(local.set ${sums[n] ?? ''} (i64x2.add (local.get ${sums[n] ?? ''}) ${load}))`;
  };
  const total = sums.map((s) => `(local.get ${s})`).reduce((a, b) => `(i64x2.add ${a} ${b})`);
  return `
  (func (export "read${streams}") (param $part i32) (result i64)
    ${sums.map((s) => `(local ${s} v128)`).join(' ')}
    ${bases.map((b) => `(local ${b} i32)`).join(' ')}
    ${bases.map((b, s) => `(local.set ${b} (i32.mul (local.get $part) (i32.const ${s})))`).join(' ')}
    (loop $next
      ${sums.map((_, n) => step(n)).join('\n      ')}
      ${bases.map((b) => `(local.set ${b} (i32.add (local.get ${b}) (i32.const ${vectors * 16})))`).join(' ')}
      (br_if $next (i32.lt_u (local.get $p0) (local.get $part))))
    (i64x2.extract_lane 0 ${total}))`;
}
