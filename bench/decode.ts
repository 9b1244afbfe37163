/** Decoding on wasm with one thread, beside the read bandwidth of one core in the same minutes. */
import { join } from 'node:path';
import { compile } from '../compiler/compile.ts';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import type { BoundModel } from '../compiler/index.ts';
import { readCheckpoint } from '../compiler/8-bundle/checkpoint.ts';
import { openFiles } from '../runtime/files.ts';
import { type LoadedModel, load } from '../runtime/index.ts';
import type { BandwidthMeter } from './bandwidth.ts';
import { median } from './statistics.ts';

export interface DecodeResult {
  readonly name: string;
  readonly weightBytesPerToken: number;
  /** Medians over the rounds. */
  readonly tokensPerSecond: number;
  readonly gigabytesPerSecond: number;
  readonly bandwidth: number;
  /** Share of the bandwidth that decoding reaches, and time per token over the floor. */
  readonly share: number;
  readonly overFloor: number;
  readonly rounds: readonly { readonly msPerToken: number; readonly bandwidth: number }[];
}

/** Compiles into `folder` anew: what is measured is what the sources make. */
export async function compileInto(
  bound: BoundModel,
  checkpoint: string,
  folder: string,
): Promise<string> {
  const out = join(folder, `${bound.template.source.line}-${checkpoint.split('/').at(-1)}`);
  const read = await readCheckpoint(nodeFiles, checkpoint);
  await compile(bound, read, { compiler: 'bench' }, nodeFiles, out, { target: 'wasm' });
  return out;
}

/**
 * Milliseconds for each of `tokens` tokens after a short prompt: the whole of the runtime's own loop,
 * logits read and the next token chosen.
 */
async function decode(model: LoadedModel, tokens: number): Promise<number> {
  const prompt = [1, 2, 3, 4, 5, 6, 7, 8];
  let first = 0;
  let last = 0;
  let count = 0;
  const options = { maxTokens: tokens + 1, greedy: true, ignoreEos: true };
  for await (const part of model.generate(prompt, options)) {
    if (part.ids.length === 0) continue;
    last = performance.now();
    if (count++ === 0) first = last;
  }
  return (last - first) / (count - 1);
}

export async function benchDecode(
  name: string,
  bundle: string,
  meter: BandwidthMeter,
  { rounds, tokens }: { readonly rounds: number; readonly tokens: number },
): Promise<DecodeResult> {
  const { manifest } = await openFiles(bundle);
  const bytes = manifest.cost.weightBytesPerToken;
  const model = await load(bundle, { threads: 1, context: 512 });
  await decode(model, Math.max(4, tokens >> 2));
  const measured: { msPerToken: number; bandwidth: number }[] = [];
  for (let r = 0; r < rounds; r++) {
    const { gigabytesPerSecond } = await meter.measure(Math.round(bytes), 1);
    // The meter takes the median of many passes over its buffer: here too the caches are as in use.
    await decode(model, tokens);
    measured.push({ msPerToken: await decode(model, tokens), bandwidth: gigabytesPerSecond });
  }
  model.close();
  const ms = median(measured.map((m) => m.msPerToken));
  const bandwidth = median(measured.map((m) => m.bandwidth));
  // Each round is held against the bandwidth of its own seconds.
  const share = median(measured.map((m) => bytes / m.msPerToken / 1e6 / m.bandwidth));
  return {
    name,
    weightBytesPerToken: bytes,
    tokensPerSecond: 1000 / ms,
    gigabytesPerSecond: bytes / ms / 1e6,
    bandwidth,
    share,
    overFloor: 1 / share,
    rounds: measured,
  };
}
