/**
 * The rates of the loops in a module of `peaks.ts`: `node wasm-peak.mjs module.wasm seconds` prints
 * `NAME MULTIPLICATIONS_PER_SECOND` per line. The best of many short runs counts.
 */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';

// Node 20 has relaxed SIMD behind a flag.
if (process.versions.node.startsWith('20.')) setFlagsFromString('--experimental-wasm-relaxed-simd');
const [path = '', seconds = '1'] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(path));
const loops = Object.entries(instance.exports).filter(([, f]) => typeof f === 'function');
for (const [name, loop] of loops) {
  // Each call returns how many products it has made, so that nothing is counted twice.
  let best = 0;
  for (
    const end = performance.now() + (1000 * Number(seconds)) / loops.length;
    performance.now() < end;
  ) {
    const from = performance.now();
    let products = 0;
    for (let i = 0; i < 500; i++) products += loop();
    best = Math.max(best, (1000 * products) / (performance.now() - from));
  }
  process.stdout.write(`${name} ${Math.round(best)}\n`);
}
