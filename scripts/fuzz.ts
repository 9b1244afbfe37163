/**
 * `npm run fuzz -- --count 100000 --seed 1`: inputs that no text may crash or hang the compiler with.
 * Prints failures with the text that reproduces them, the slowest input, and how many were checked.
 */
import { Worker } from 'node:worker_threads';
import { bear, inputOf } from '../test/helpers/fuzz.ts';

const longest = 1000; // ms
const option = (name: string, byDefault: number): number => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? byDefault : Number(process.argv[at + 1]);
};
const [first, count] = [option('seed', 1), option('count', 100_000)];

// A hang would keep this thread from saying so: another one looks on.
const shared = new Int32Array(new SharedArrayBuffer(8));
const watch = `
  const { workerData } = require('node:worker_threads');
  let [had, since] = [-1, Date.now()];
  setInterval(() => {
    const now = Atomics.load(workerData, 0);
    if (now !== had) [had, since] = [now, Date.now()];
    if (Date.now() - since < 60000) return;
    process.stderr.write('seed ' + now + ' hangs\\n');
    process.kill(process.pid, 'SIGKILL');
  }, 1000);`;
const watcher = new Worker(watch, { eval: true, workerData: shared });

let worst = { milliseconds: 0, seed: first };
let checked = 0;
let failures = 0;
const began = performance.now();
const fail = (seed: number, why: string): void => {
  failures++;
  if (failures > 20) return;
  const { template, sheet } = inputOf(seed);
  const text = `${template.source.text}${sheet ? `\n--- ${sheet.kind}\n${sheet.source.text}` : ''}`;
  console.log(`seed ${seed}: ${why}\n${text.slice(0, 1500)}\n`);
};
for (let seed = first; seed < first + count; seed++) {
  Atomics.store(shared, 0, seed);
  try {
    const outcome = bear(inputOf(seed));
    if (outcome.checked) checked++;
    if (outcome.milliseconds > worst.milliseconds) worst = { ...outcome, seed };
    if (outcome.milliseconds > longest) fail(seed, `took ${Math.round(outcome.milliseconds)} ms`);
  } catch (e) {
    fail(seed, e instanceof Error ? (e.stack ?? e.message).slice(0, 900) : String(e));
  }
  if ((seed - first + 1) % 10_000 === 0) console.log(`${seed - first + 1} ...`);
}
await watcher.terminate();
const seconds = Math.round((performance.now() - began) / 1000);
console.log(
  `${count} inputs from seed ${first} in ${seconds} s: ${failures} failures, ${checked} reached the checker, ` +
    `the slowest took ${Math.round(worst.milliseconds)} ms (seed ${worst.seed})`,
);
process.exitCode = failures > 0 ? 1 : 0;
