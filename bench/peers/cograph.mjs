/**
 * Cograph as a process that measures on request (`protocol.mjs`):
 * `node cograph.mjs '{"runtime":"…/index.js","path":"bundle","target":"native","threads":1,"context":1024}'`.
 * `runtime` is the runtime as plain JavaScript, as the package has it. Tokens are counted where a user of
 * `generate` gets them.
 */
import { pathToFileURL } from 'node:url';
import { promptOf, serve, stopwatch, windowsOf } from './protocol.mjs';

const { runtime, path, target, threads, context } = JSON.parse(process.argv[2]);
const { load: loadModel } = await import(pathToFileURL(runtime).href);
let model;
let sequence;

async function open() {
  const from = performance.now();
  model = await loadModel(path, { target, threads, context, capacity: context });
  return {
    seconds: (performance.now() - from) / 1000,
    threads: model.threads,
    target: model.target,
    memoryBytes: model.memoryBytes,
  };
}

async function load({ text }) {
  const from = performance.now();
  const { seconds: openSeconds } = await open();
  let tokens;
  for await (const part of model.generate(text, { maxTokens: 1, greedy: true, ignoreEos: true }))
    tokens = part.timings?.promptTokens ?? tokens;
  return { seconds: (performance.now() - from) / 1000, openSeconds, tokens };
}

/** Generates `tokens` more than the first one. */
async function run(subject, ids, tokens) {
  const watch = stopwatch();
  const options = { maxTokens: tokens + 1, greedy: true, ignoreEos: true };
  for await (const part of subject.generate(ids, options))
    if (part.ids.length > 0) watch.tokens(part.ids.length);
  return watch;
}

await serve({
  open,
  load,
  async prefill({ tokens }) {
    const s = model.sequence();
    const watch = stopwatch();
    try {
      await s.append(promptOf(tokens), { logits: 'last' });
      watch.tokens();
    } finally {
      s.end();
    }
    return watch.prefill(tokens);
  },
  async decode({ prompt, tokens }) {
    return (await run(model, promptOf(prompt), tokens)).decode();
  },
  async fill({ tokens }) {
    sequence?.end();
    sequence = model.sequence();
    await sequence.append(promptOf(tokens), { logits: 'none' });
    return { tokens: sequence.length };
  },
  async continue({ tokens }) {
    return { ...(await run(sequence, promptOf(1), tokens)).decode(), position: sequence.length };
  },
  /** Each window is a sequence of its own, as `perplexity` of the runtime has it. */
  async perplexity({ ids, window }) {
    let total = 0;
    let count = 0;
    for (const slice of windowsOf(ids, window)) {
      const rows = await model.logits(slice.slice(0, -1));
      rows.forEach((row, i) => (total -= logProbability(row, slice[i + 1])));
      count += rows.length;
    }
    return { perplexity: Math.exp(total / count), tokens: count };
  },
});
model?.close();

function logProbability(logits, id) {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((a, x) => a + Math.exp(x - most), 0);
  return logits[id] - most - Math.log(sum);
}
