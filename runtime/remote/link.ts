/** The page's end of a worker: requests numbered, answers to whoever asked. */
import { DeviceError, InputError } from '../errors.ts';
import type { Answer, Request } from './messages.ts';
import { errorOf } from './failures.ts';
import type { Notice } from '../options.ts';

export interface Link {
  post(request: Request): void;
  /** A number for a request, and what is called with each of its answers or with what ended the link. */
  open(take: (answer: Answer | Error) => void): number;
  /** Nothing more is told about that request. */
  forget(id: number): void;
  /** Nothing is answered any more. */
  ended(): boolean;
  onNotice: ((notice: Notice) => void) | undefined;
  /** Fails whoever waits, and ends the worker. */
  close(): void;
}

/** Milliseconds that a worker has to end its threads before it is ended itself. */
const patience = 3000;

/** Resolves once the worker listens. Rejects with DeviceError where its script does not load. */
export function connect(worker: Worker, signal: AbortSignal | undefined): Promise<Link> {
  const waiting = new Map<number, (answer: Answer | Error) => void>();
  let ended: Error | undefined;
  let last = 0;
  const end = (e: Error): void => {
    if (ended) return;
    ended = e;
    // Threads that are told to stop do so at once; where they are not, the browser takes seconds.
    const close: Request = { kind: 'close' };
    worker.postMessage(close);
    setTimeout(() => worker.terminate(), patience);
    const all = [...waiting.values()];
    waiting.clear();
    all.forEach((take) => take(e));
  };
  const link: Link = {
    onNotice: undefined,
    post(request) {
      if (!ended) worker.postMessage(request);
    },
    open(take) {
      if (ended) throw ended;
      waiting.set(++last, take);
      return last;
    },
    ended: () => ended !== undefined,
    forget: (id) => void waiting.delete(id),
    close: () => end(new InputError('input/ended', 'the model was closed')),
  };
  return new Promise<Link>((resolve, reject) => {
    const fail = (why: string): void => {
      const error = new DeviceError('device/worker', why);
      end(error);
      reject(error);
    };
    const abort = (): void => {
      worker.terminate();
      reject(signal?.reason instanceof Error ? signal.reason : new DOMException('', 'AbortError'));
    };
    signal?.addEventListener('abort', abort, { once: true });
    worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      if (data.kind === 'closed') worker.terminate();
      else if (data.kind === 'ready') {
        signal?.removeEventListener('abort', abort);
        resolve(link);
      } else if (data.kind === 'notice') link.onNotice?.(data.notice);
      else waiting.get(data.id)?.(data);
    };
    worker.onerror = (e) => {
      e.preventDefault();
      fail(
        e.message
          ? `the worker failed: ${e.message}`
          : 'the worker did not start: worker.js is not beside the runtime, or may not be run',
      );
    };
    worker.onmessageerror = () => fail('a message of the worker cannot be read');
  });
}

/** What a failure says, as an error; nothing for other answers. */
export const failureIn = (answer: Answer | Error): Error | undefined =>
  answer instanceof Error ? answer : answer.kind === 'failed' ? errorOf(answer.failure) : undefined;

/** Asks once, and resolves with the first answer that `is` knows; others go to `onOther`. */
export async function ask<A extends Answer>(
  link: Link,
  request: (id: number) => Request,
  is: (answer: Answer) => answer is A,
  onOther: (answer: Answer) => void = () => undefined,
): Promise<A> {
  let id = 0;
  try {
    return await new Promise<A>((resolve, reject) => {
      id = link.open((told) => {
        const failure = failureIn(told);
        if (!(told instanceof Error)) {
          if (is(told)) return resolve(told);
          onOther(told);
        }
        if (failure) reject(failure);
      });
      link.post(request(id));
    });
  } finally {
    link.forget(id);
  }
}
