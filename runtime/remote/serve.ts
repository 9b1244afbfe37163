/** The worker's side: one model, and the page's requests to it. */
import { InputError } from '../errors.ts';
import type { Part } from '../generate.ts';
import type { LoadedModel, Sequence } from '../model.ts';
import { openAll } from '../open.ts';
import type { OnProgress } from '../options.ts';
import { failureOf } from './failures.ts';
import type { Answer, ModelFacts, Request } from './messages.ts';

export interface ServerPort {
  post(message: Answer, transfer: Transferable[]): void;
  /** The port's messages are requests, for nobody else holds its other end. */
  listen(take: (request: Request) => void): void;
}

/** A generation that sends parts as far as the page has room for them. */
interface Stream {
  credit: number;
  left: boolean;
  wake: () => void;
}

/** Milliseconds in which threads that were stopped are gone. */
const threadsEndWithin = 300;

/** Milliseconds between two messages about a shard that is on its way. */
const progressEvery = 40;

export function serve(port: ServerPort): void {
  let model: LoadedModel | undefined;
  let loading: Promise<unknown> = Promise.resolve();
  const sequences = new Map<number, Sequence>();
  const aborts = new Map<number, AbortController>();
  const streams = new Map<number, Stream>();

  const post = (answer: Answer, transfer: Transferable[] = []): void => port.post(answer, transfer);

  const loaded = (): LoadedModel => {
    if (!model) throw new InputError('input/ended', 'no model is loaded');
    return model;
  };
  const sequenceOf = (number: number): Sequence => {
    const found = sequences.get(number);
    if (!found) throw new InputError('input/ended', 'the sequence has ended');
    return found;
  };

  async function load(request: Request & { kind: 'load' }): Promise<Answer> {
    const { id, place, options } = request;
    const abort = new AbortController();
    aborts.set(id, abort);
    try {
      const opened = await openAll(place, {
        ...options,
        signal: abort.signal,
        onNotice: (notice) => post({ kind: 'notice', notice }),
        onProgress: sparing((done, total, shard) =>
          post({ kind: 'progress', id, done, total, shard }),
        ),
      });
      model = opened.model;
      return { kind: 'loaded', id, facts: factsOf(opened.model, opened.tokenizerFiles) };
    } finally {
      aborts.delete(id);
    }
  }

  async function generate(request: Request & { kind: 'generate' }): Promise<Answer> {
    const { id, prompt, credit } = request;
    const sequence = request.sequence === undefined ? undefined : sequenceOf(request.sequence);
    const abort = new AbortController();
    if (request.aborted) abort.abort();
    const stream: Stream = { credit, left: false, wake: () => undefined };
    aborts.set(id, abort);
    streams.set(id, stream);
    try {
      const options = { ...request.options, signal: abort.signal };
      const parts = sequence
        ? sequence.generate(idsOnly(prompt), options)
        : loaded().generate(prompt, options);
      await send(parts, stream, (part) =>
        post({ kind: 'part', id, part, length: sequence?.length ?? 0 }),
      );
      return { kind: 'ended', id, length: sequence?.length ?? 0 };
    } finally {
      aborts.delete(id);
      streams.delete(id);
    }
  }

  async function answer(request: Request): Promise<Answer | undefined> {
    switch (request.kind) {
      case 'load': {
        const answer = load(request);
        loading = answer.catch(() => undefined);
        return answer;
      }
      case 'generate':
        return generate(request);
      case 'more': {
        const stream = streams.get(request.id);
        if (stream) stream.credit++;
        stream?.wake();
        return undefined;
      }
      case 'leave': {
        const stream = streams.get(request.id);
        if (stream) stream.left = true;
        stream?.wake();
        return undefined;
      }
      case 'abort':
        aborts.get(request.id)?.abort();
        return undefined;
      case 'create':
        sequences.set(request.sequence, loaded().sequence());
        return undefined;
      case 'append': {
        const sequence = sequenceOf(request.sequence);
        const rows = await sequence.append(request.ids, request.options);
        return { kind: 'rows', id: request.id, rows, length: sequence.length };
      }
      case 'fork':
        sequences.set(request.sequence, sequenceOf(request.from).fork());
        return undefined;
      case 'rollback':
        sequenceOf(request.sequence).rollback(request.length);
        return undefined;
      case 'end':
        sequences.get(request.sequence)?.end();
        sequences.delete(request.sequence);
        return undefined;
      case 'snapshot': {
        const bytes = await sequenceOf(request.sequence).snapshot();
        return { kind: 'bytes', id: request.id, bytes };
      }
      case 'restore': {
        const sequence = await loaded().restore(request.bytes);
        sequences.set(request.sequence, sequence);
        return { kind: 'restored', id: request.id, ids: sequence.ids };
      }
      case 'close':
        aborts.forEach((a) => a.abort());
        await loading; // threads that it has started are ended
        model?.close();
        // Chromium does not end a worker that is told to while threads of its own are ending.
        await new Promise((resolve) => setTimeout(resolve, threadsEndWithin));
        return { kind: 'closed' };
      case 'logits': {
        const rows = await loaded().logits(request.ids);
        return { kind: 'rows', id: request.id, rows, length: rows.length };
      }
      case 'perplexity': {
        const { id, text, context } = request;
        const found = await loaded().perplexity(text, context, (done, total) =>
          post({ kind: 'progress', id, done, total }),
        );
        return { kind: 'perplexity', id, ...found };
      }
    }
  }

  port.listen((request) => {
    answer(request).then(
      (told) => told && post(told, transfers(told)),
      (e: unknown) => {
        const id = 'id' in request ? request.id : 0;
        const length = 'sequence' in request && sequences.get(request.sequence ?? 0)?.length;
        post({
          kind: 'failed',
          id,
          failure: failureOf(e),
          ...(typeof length === 'number' ? { length } : {}),
        });
      },
    );
  });
  post({ kind: 'ready' });
}

/** Sends parts while there is room for them; ends the generation when its reader has gone. */
async function send(
  parts: AsyncGenerator<Part, void, undefined>,
  stream: Stream,
  post: (part: Part) => void,
): Promise<void> {
  for (;;) {
    while (stream.credit === 0 && !stream.left)
      await new Promise<void>((resolve) => (stream.wake = resolve));
    if (stream.left) return void (await parts.return());
    const next = await parts.next();
    if (next.done === true) return;
    stream.credit--;
    post(next.value);
  }
}

function idsOnly(prompt: unknown): readonly number[] {
  const ids: readonly unknown[] = Array.isArray(prompt) ? prompt : [];
  return ids.filter((x) => typeof x === 'number');
}

/** Leaves out most of what is told of a shard on its way; its end is always told. */
function sparing(tell: OnProgress): OnProgress {
  let last = -progressEvery;
  return (done, total, shard) => {
    const now = performance.now();
    if (shard && shard.done < shard.total && now - last < progressEvery) return;
    last = now;
    tell(done, total, shard);
  };
}

const factsOf = (model: LoadedModel, tokenizer: ModelFacts['tokenizer']): ModelFacts => ({
  name: model.name,
  vocab: model.vocab,
  context: model.context,
  target: model.target,
  passedOver: model.passedOver,
  threads: model.threads,
  memoryBytes: model.memoryBytes,
  manifest: model.manifest,
  tokenizer,
});

/** Rows and bytes go over without a copy. */
function transfers(answer: Answer): Transferable[] {
  if (answer.kind === 'rows') return answer.rows.map((r) => r.buffer).filter(isOwn);
  if (answer.kind === 'bytes') return [answer.bytes.buffer].filter(isOwn);
  return [];
}

const isOwn = (b: ArrayBufferLike): b is ArrayBuffer => b instanceof ArrayBuffer;
