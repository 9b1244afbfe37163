import type { GenerateOptions, Prompt, SampleOptions, Timings } from '../../../runtime/index.ts';
import { UsageError } from '../errors.ts';
import { sizeText } from '../console.ts';
import { openModel } from '../open.ts';
import { type Context, type RunFlags, runOptions } from './context.ts';
import { readIds } from './ids.ts';

export interface GenerateFlags extends RunFlags, SampleOptions {
  readonly prompt?: string;
  readonly ids?: string;
  readonly chat?: boolean;
  readonly maxTokens: number;
  readonly stop?: readonly string[];
  readonly ignoreEos?: boolean;
}

/** `cograph generate`: the continuation of a prompt, streamed; figures at the end. */
export async function generateCommand(
  place: string,
  flags: GenerateFlags,
  { console, json, signal }: Context,
): Promise<unknown> {
  const prompt = await promptOf(flags);
  const model = await openModel(place, runOptions(flags, signal), console);
  try {
    let text = '';
    const ids: number[] = [];
    let finish: string | undefined;
    let timings: Timings | undefined;
    for await (const part of model.generate(prompt, optionsOf(flags, signal))) {
      if (!json) console.out(part.text);
      text += part.text;
      ids.push(...part.ids);
      finish = part.finish ?? finish;
      timings = part.timings ?? timings;
    }
    if (!json) console.out('\n');
    if (timings) console.note(`\n${summary(timings)}`);
    if (finish === 'abort') signal.throwIfAborted();
    const peakMemoryBytes = peakMemory();
    return { text, ids, finish, timings: { ...timings, peakMemoryBytes } };
  } finally {
    model.close();
  }
}

async function promptOf(flags: GenerateFlags): Promise<Prompt> {
  const { prompt, ids, chat } = flags;
  if ((prompt === undefined) === (ids === undefined)) {
    throw new UsageError('usage/prompt', 'give either --prompt TEXT or --ids FILE.json');
  }
  if (ids !== undefined) return readIds(ids);
  const text = prompt ?? '';
  return chat === true ? [{ role: 'user', content: text }] : text;
}

function optionsOf(flags: GenerateFlags, signal: AbortSignal): GenerateOptions {
  const { maxTokens, greedy, temperature, topK, topP, minP, repetitionPenalty, seed } = flags;
  const given = { greedy, temperature, topK, topP, minP, repetitionPenalty };
  const set = Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined));
  return {
    ...set,
    maxTokens,
    signal,
    // Without a seed every call gives another text, as one expects of sampling.
    seed: seed ?? Math.floor(Math.random() * 2 ** 32),
    ...(flags.stop ? { stop: flags.stop } : {}),
    ...(flags.ignoreEos === true ? { ignoreEos: true } : {}),
  };
}

/** Most memory that this process held, in bytes. */
const peakMemory = (): number => process.resourceUsage().maxRSS * 1024;

function summary(t: Timings): string {
  return [
    `time to first token ${t.firstTokenMs.toFixed(1)} ms (${t.promptTokens} tokens, ${t.promptTokensPerSecond.toFixed(0)} per second)`,
    `${t.tokensPerSecond.toFixed(1)} tokens per second (${t.generatedTokens} generated in ${(t.totalMs / 1000).toFixed(2)} s)`,
    `peak memory ${sizeText(peakMemory())}, of which the model holds ${sizeText(t.memoryBytes)}`,
  ].join('\n');
}
