/**
 * llama.cpp as a process that measures on request. `node llama-cpp.mjs model.gguf [threads]`, after
 * `npm install --no-save --ignore-scripts --omit=optional` in this folder (not `npm ci`: the lock lacks other
 * platforms' packages); a JSON object per line in, one out:
 * `{"do":"decode","prompt":32,"tokens":64}`, `{"do":"prefill","tokens":512}`, `{"do":"memory"}`.
 * The KV cache is f16, batches are as node-llama-cpp sets them, flash attention is off.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { LlamaLogLevel, getLlama } from 'node-llama-cpp';

const [path, threadsText = '1', contextText = '1024'] = process.argv.slice(2);
const threads = Number(threadsText);
const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const started = performance.now();
const llama = await getLlama({
  gpu: false,
  build: 'never',
  skipDownload: true,
  maxThreads: threads,
  logLevel: LlamaLogLevel.error,
});
const model = await llama.loadModel({ modelPath: path });
const context = await model.createContext({
  contextSize: Number(contextText),
  threads,
  flashAttention: false,
});
const sequence = context.getSequence();
answer({
  ready: true,
  seconds: (performance.now() - started) / 1000,
  threads: context.currentThreads,
  batch: context.batchSize,
  system: llama.systemInfo,
});

/** Seconds to the first token of a prompt of this length, and of the `tokens` after it. */
async function run(prompt, tokens) {
  await sequence.clearHistory();
  // Bytes of the vocabulary: 3 special tokens come before them.
  const input = Array.from({ length: prompt }, (_, i) => 3 + ((i * 37) % 256));
  const from = performance.now();
  let first = from;
  let last = from;
  let count = 0;
  const stream = sequence.evaluate(input, { temperature: 0, yieldEogToken: true });
  for await (const _ of stream) {
    last = performance.now();
    if (count === 0) first = last;
    if (count++ === tokens) break;
  }
  return { prefill: (first - from) / 1000, decode: (last - first) / 1000, decoded: count - 1 };
}

function memory() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const bytes = (key) => 1024 * Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  return { rss: bytes('VmRSS'), anonymous: bytes('RssAnon'), file: bytes('RssFile') };
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    const request = JSON.parse(line);
    if (request.do === 'decode') {
      const r = await run(request.prompt, request.tokens);
      answer({ tokens: r.decoded, seconds: r.decode, tokensPerSecond: r.decoded / r.decode });
    } else if (request.do === 'prefill') {
      const { prefill } = await run(request.tokens, 0);
      answer({ seconds: prefill, tokensPerSecond: request.tokens / prefill });
    } else if (request.do === 'memory') answer(memory());
    else answer({ error: `no request ${request.do}` });
  } catch (e) {
    answer({ error: String(e) });
  }
}
await llama.dispose();
