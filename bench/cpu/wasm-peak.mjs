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
const best = new Map();
// Once around while the engine still optimises, then three times that count.
for (let round = 0; round < 4; round++) {
  for (const [name, loop] of loops) {
    const end = performance.now() + (250 * Number(seconds)) / loops.length;
    let most = 0;
    while (performance.now() < end) {
      const from = performance.now();
      let products = 0;
      for (let i = 0; i < 500; i++) products += loop();
      most = Math.max(most, (1000 * products) / (performance.now() - from));
    }
    if (round > 0) best.set(name, Math.max(most, best.get(name) ?? 0));
  }
}
for (const [name, rate] of best) process.stdout.write(`${name} ${Math.round(rate)}\n`);
