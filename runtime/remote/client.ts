/** A model that runs in a worker, with the interface of one that runs here. */
import type { GenerateOptions, Part, Prompt } from '../generate.ts';
import type { LoadedModel } from '../model.ts';
import type { LoadOptions } from '../options.ts';
import { type Tokenizer, type TokenizerFiles, makeTokenizer } from '../tokenizer.ts';
import { type Link, ask, connect, failureIn } from './link.ts';
import type {
  Answer,
  ModelFacts,
  PlainGenerateOptions,
  PlainLoadOptions,
  Request,
} from './messages.ts';
import { makeSequences } from './sequences.ts';

export { connect };

/** Parts that the worker may be ahead of their reader. */
const ahead = 8;

/** Loads in the worker at the other end. Rejects as `load` does; the link is closed then. */
export async function loadRemote(
  link: Link,
  place: string | URL,
  options: LoadOptions,
): Promise<LoadedModel> {
  const { onProgress, onNotice, signal, worker: _, gpu: __, ...plain } = options;
  link.onNotice = onNotice;
  const abort = (): void => link.close();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    // The worker is elsewhere: what is relative to the page is said in full.
    const url = new URL(String(place), globalThis.location?.href).href;
    const { facts } = await ask(
      link,
      (id) => loadRequest(id, url, plain),
      (a) => a.kind === 'loaded',
      (a) => {
        if (a.kind === 'progress') onProgress?.(a.done, a.total, a.shard);
      },
    );
    return modelOf(link, facts);
  } catch (e) {
    link.close();
    signal?.throwIfAborted();
    throw e;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

const loadRequest = (id: number, place: string, options: PlainLoadOptions): Request => ({
  kind: 'load',
  id,
  place,
  options,
});

function modelOf(link: Link, facts: ModelFacts): LoadedModel {
  const { tokenizer: files, ...rest } = facts;
  const tokenizer = files && lazyTokenizer(files);
  const sequences = makeSequences(link, (sequence, prompt, options, onLength) =>
    generateRemote(link, { sequence, prompt, options, credit: 1 }, onLength),
  );
  return {
    ...rest,
    tokenizer,
    generate: (prompt, options = {}) =>
      generateRemote(link, { sequence: undefined, prompt, options, credit: ahead }),
    ...sequences,
    async logits(ids) {
      const { rows } = await ask(
        link,
        (id) => ({ kind: 'logits', id, ids }),
        (a) => a.kind === 'rows',
      );
      return [...rows];
    },
    async perplexity(text, context, onProgress) {
      const { perplexity, tokens } = await ask(
        link,
        (id) => ({ kind: 'perplexity', id, text, context }),
        (a) => a.kind === 'perplexity',
        (a) => {
          if (a.kind === 'progress') onProgress?.(a.done, a.total);
        },
      );
      return { perplexity, tokens };
    },
    close: () => link.close(),
  };
}

interface RemoteGeneration {
  readonly sequence: number | undefined;
  readonly prompt: Prompt;
  readonly options: GenerateOptions;
  /**
   * Parts that may come before they are asked for. A sequence has 1, so that it holds what its reader
   * has seen and no more.
   */
  readonly credit: number;
}

async function* generateRemote(
  link: Link,
  { sequence, prompt, options, credit }: RemoteGeneration,
  onLength: (length: number, part: Part | undefined) => void = () => undefined,
): AsyncGenerator<Part, void, undefined> {
  const { signal, ...plain } = options;
  const came: (Answer | Error)[] = [];
  let wake: () => void = () => undefined;
  const id = link.open((answer) => {
    came.push(answer);
    wake();
  });
  const abort = (): void => link.post({ kind: 'abort', id });
  signal?.addEventListener('abort', abort);
  let ended = false;
  try {
    link.post(generateRequest(id, sequence, prompt, plain, signal?.aborted === true, credit));
    for (;;) {
      if (came.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const answer = came.shift();
      if (answer === undefined) continue;
      const failure = failureIn(answer);
      ended = failure !== undefined || (!(answer instanceof Error) && answer.kind === 'ended');
      if (!(answer instanceof Error) && 'length' in answer && answer.length !== undefined)
        onLength(answer.length, answer.kind === 'part' ? answer.part : undefined);
      if (failure) throw failure;
      if (answer instanceof Error || answer.kind !== 'part') {
        if (ended) return;
        continue;
      }
      yield answer.part;
      link.post({ kind: 'more', id });
    }
  } finally {
    signal?.removeEventListener('abort', abort);
    link.forget(id);
    if (!ended) link.post({ kind: 'leave', id });
  }
}

const generateRequest = (
  id: number,
  sequence: number | undefined,
  prompt: Prompt,
  options: PlainGenerateOptions,
  aborted: boolean,
  credit: number,
): Request => ({
  kind: 'generate',
  id,
  ...(sequence === undefined ? {} : { sequence }),
  prompt,
  options,
  aborted,
  credit,
});

/** Made when it is first used: most pages only generate. */
function lazyTokenizer(files: TokenizerFiles): Tokenizer {
  let made: Tokenizer | undefined;
  const own = (): Tokenizer => (made ??= makeTokenizer(files));
  return {
    encode: (text, options) => own().encode(text, options),
    decode: (ids) => own().decode(ids),
    stream: () => own().stream(),
    chat: (messages) => own().chat(messages),
  };
}
