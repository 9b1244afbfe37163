/**
 * What processes that measure on request have in common: a JSON object per line in, one per line out.
 *
 * - `{"do":"open"}`: loads the model; seconds, and what it is.
 * - `{"do":"load","text":TEXT}`: loads it and generates one token after the text: seconds from load to that
 *   token as text, the tokenizer included. Instead of `open`, in a fresh process.
 * - `{"do":"prefill","tokens":512}`: a prompt of that many tokens to the first token after it.
 * - `{"do":"decode","prompt":32,"tokens":64}`: tokens after the first one.
 * - `{"do":"fill","tokens":8192}`, then `{"do":"continue","tokens":16}`: decoding behind a long prompt,
 *   which stays: each call goes on where the last one ended.
 * - `{"do":"memory","path":FOLDER}`: resident bytes, and how many of them are files below the path.
 * - `{"do":"perplexity","ids":FILE,"window":256}`: exp of the mean negative log-likelihood.
 *
 * Between requests a process waits for input: it holds memory, no core.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

/** Answers until the input ends; `requests` are functions by what they do. */
export async function serve(requests) {
  const all = { memory, ...requests };
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      const request = JSON.parse(line);
      const run = all[request.do];
      if (run === undefined) throw new Error(`no request ${request.do}`);
      answer(await run(request));
    } catch (e) {
      answer({ error: e instanceof Error ? e.message : String(e) });
    }
  }
}

/** Ids of a prompt: bytes of the vocabulary, which three special tokens come before. */
export const promptOf = (tokens) => Array.from({ length: tokens }, (_, i) => 3 + ((i * 37) % 256));

/** Collects the moments at which tokens come. */
export function stopwatch() {
  const from = performance.now();
  let first = from;
  let last = from;
  let count = 0;
  return {
    tokens(n = 1) {
      last = performance.now();
      if (count === 0) first = last;
      count += n;
      return count;
    },
    /** To the first token. */
    prefill: (tokens) => rate(tokens, first - from),
    /** From the first token to the last. */
    decode: () => rate(count - 1, last - first),
  };
}

const rate = (tokens, ms) => ({
  tokens,
  seconds: ms / 1000,
  tokensPerSecond: (1000 * tokens) / ms,
});

/** `windows` slices of `window` ids with the id after each. */
export function windowsOf(path, window) {
  const ids = JSON.parse(readFileSync(path, 'utf8'));
  const count = Math.floor((ids.length - 1) / window);
  return Array.from({ length: count }, (_, w) => ids.slice(w * window, (w + 1) * window + 1));
}

/**
 * Resident bytes: anonymous ones, and pages of mapped files, those below `path` (weights) on their own.
 * Pages of files are counted as resident although the page cache may share them, for that is what a
 * monitor of the system shows.
 */
function memory({ path }) {
  const status = readFileSync('/proc/self/status', 'utf8');
  const bytes = (key) =>
    1024 * Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  let weights = 0;
  let inside = false;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line))
      inside = path !== undefined && line.includes(` ${path}`);
    else if (inside && line.startsWith('Rss:')) weights += 1024 * Number(line.split(/\s+/)[1]);
  }
  return {
    rss: bytes('VmRSS'),
    anonymous: bytes('RssAnon'),
    file: bytes('RssFile'),
    shared: bytes('RssShmem'),
    mappedWeights: weights,
  };
}
