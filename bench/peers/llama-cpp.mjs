/**
 * llama.cpp as a process that measures on request (`protocol.mjs`):
 * `node llama-cpp.mjs '{"path":"model.gguf","threads":1,"context":1024,"flash":true}'`, after
 * `npm install --no-save --ignore-scripts --omit=optional` in this folder (not `npm ci`: the lock lacks other
 * platforms' packages). The cache is f16 unless `kv` names another type; batches are as node-llama-cpp sets
 * them. `load` counts from the loading of the model: that of the library, half a second, is left out.
 */
import { LlamaLogLevel, getLlama } from 'node-llama-cpp';
import { promptOf, serve, stopwatch, windowsOf } from './protocol.mjs';

const { path, threads, context: contextSize, flash = true, kv } = JSON.parse(process.argv[2]);
const greedy = { temperature: 0, yieldEogToken: true };

const llama = await getLlama({
  gpu: false,
  build: 'never',
  skipDownload: true,
  maxThreads: threads,
  logLevel: LlamaLogLevel.error,
});
let model;
let context;
let sequence;

async function open() {
  const from = performance.now();
  model = await llama.loadModel({ modelPath: path });
  context = await model.createContext({
    contextSize,
    threads,
    flashAttention: flash,
    ...(kv === undefined
      ? {}
      : { experimentalKvCacheKeyType: kv, experimentalKvCacheValueType: kv }),
  });
  sequence = context.getSequence();
  return {
    seconds: (performance.now() - from) / 1000,
    threads: context.currentThreads,
    batch: context.batchSize,
    flash: context.flashAttention,
    version: llama.llamaCppRelease.release,
    system: llama.systemInfo,
  };
}

async function load({ text }) {
  const from = performance.now();
  const { seconds: openSeconds } = await open();
  const ids = [model.tokens.bos, ...model.tokenize(text)];
  for await (const token of sequence.evaluate(ids, greedy)) {
    model.detokenize([token]);
    break;
  }
  return { seconds: (performance.now() - from) / 1000, openSeconds, tokens: ids.length };
}

/** Evaluates ids and `tokens` more than the first one that follows. */
async function run(ids, tokens) {
  const watch = stopwatch();
  for await (const _ of sequence.evaluate(ids, greedy)) if (watch.tokens() > tokens) break;
  return watch;
}

async function perplexity({ ids, window }) {
  let total = 0;
  let count = 0;
  for (const slice of windowsOf(ids, window)) {
    await sequence.clearHistory();
    // Greedy choice leaves all logits as they are; other choices drop the least likely ones.
    const wanted = { generateNext: { logits: true, options: { temperature: 0 } } };
    const input = slice.slice(0, -1).map((token) => [token, wanted]);
    for (const [i, output] of (await sequence.controlledEvaluate(input)).entries()) {
      const { logits } = output.next;
      const most = Math.max(...logits.values());
      let sum = 0;
      for (const x of logits.values()) sum += Math.exp(x - most);
      total -= logits.get(slice[i + 1]) - most - Math.log(sum);
      count++;
    }
  }
  return { perplexity: Math.exp(total / count), tokens: count };
}

await serve({
  open,
  load,
  perplexity,
  async prefill({ tokens }) {
    await sequence.clearHistory();
    return (await run(promptOf(tokens), 0)).prefill(tokens);
  },
  async decode({ prompt, tokens }) {
    await sequence.clearHistory();
    return (await run(promptOf(prompt), tokens)).decode();
  },
  async fill({ tokens }) {
    await sequence.clearHistory();
    await sequence.evaluateWithoutGeneratingNewTokens(promptOf(tokens));
    return { tokens: sequence.nextTokenIndex };
  },
  async continue({ tokens }) {
    return { ...(await run(promptOf(1), tokens)).decode(), position: sequence.nextTokenIndex };
  },
});
await llama.dispose();
