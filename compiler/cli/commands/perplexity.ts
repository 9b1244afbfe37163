import { openModel } from '../open.ts';
import { type Context, type RunFlags, runOptions } from './context.ts';
import { readText } from './ids.ts';

export interface PerplexityFlags extends Omit<RunFlags, 'context'> {
  readonly text: string;
  readonly context: number;
}

/** `cograph perplexity`: exp of the mean negative log-likelihood over windows of a text. */
export async function perplexityCommand(
  place: string,
  flags: PerplexityFlags,
  { console, json, signal }: Context,
): Promise<unknown> {
  const text = await readText(flags.text);
  const model = await openModel(place, runOptions(flags, signal), console);
  try {
    const bar = console.progress('scoring');
    const result = await model.perplexity(text, flags.context, (done, total) => {
      signal.throwIfAborted();
      bar.update(done, total);
    });
    bar.end(`scored ${result.tokens} tokens`);
    if (!json)
      console.out(`perplexity ${result.perplexity.toFixed(4)} over ${result.tokens} tokens\n`);
    return result;
  } finally {
    model.close();
  }
}
