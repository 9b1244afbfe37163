/**
 * Sequences of a model in a worker. What they hold is known here too, so that ids, forks and rollbacks
 * need no answer, and what is wrong is refused at once, as it is where the model runs.
 */
import { InputError } from '../errors.ts';
import type { GenerateOptions, Part } from '../generate.ts';
import type { LoadedModel, Sequence } from '../model.ts';
import { type Link, ask } from './link.ts';

type Generate = (
  sequence: number,
  prompt: readonly number[],
  options: GenerateOptions,
  onLength: (length: number, part: Part | undefined) => void,
) => AsyncGenerator<Part, void, undefined>;

interface State {
  readonly number: number;
  readonly ids: number[];
  closed: boolean;
  busy: boolean;
}

export function makeSequences(
  link: Link,
  generate: Generate,
): Pick<LoadedModel, 'sequence' | 'restore'> {
  let last = 0;
  const fresh = (ids: readonly number[]): State => ({
    number: ++last,
    ids: [...ids],
    closed: false,
    busy: false,
  });

  const wrap = (s: State): Sequence => ({
    ids: s.ids,
    get length() {
      return s.ids.length;
    },
    async append(ids, options = {}) {
      usable(link, s);
      const whole = [...s.ids, ...ids];
      const { rows } = await busy(s, () =>
        ask(
          link,
          (id) => ({ kind: 'append', id, sequence: s.number, ids, options }),
          (a) => a.kind === 'rows',
          (a) => {
            if (a.kind === 'failed' && a.length !== undefined) become(s, whole, a.length);
          },
        ),
      );
      become(s, whole, whole.length);
      return [...rows];
    },
    async *generate(prompt, options = {}) {
      usable(link, s);
      const whole = [...s.ids, ...prompt];
      const parts = generate(s.number, prompt, options, (length, part) => {
        become(s, whole, length);
        whole.push(...(part?.ids ?? []));
      });
      try {
        for (;;) {
          const next = await busy(s, () => parts.next());
          if (next.done === true) return;
          yield next.value;
        }
      } finally {
        await parts.return();
      }
    },
    fork() {
      usable(link, s);
      const fork = fresh(s.ids);
      link.post({ kind: 'fork', sequence: fork.number, from: s.number });
      return wrap(fork);
    },
    rollback(length) {
      usable(link, s);
      if (!Number.isInteger(length) || length < 0 || length > s.ids.length) {
        throw new InputError(
          'input/length',
          `a sequence of ${s.ids.length} tokens cannot be cut to ${length}`,
        );
      }
      s.ids.length = length;
      link.post({ kind: 'rollback', sequence: s.number, length });
    },
    async snapshot() {
      usable(link, s);
      const { bytes } = await busy(s, () =>
        ask(
          link,
          (id) => ({ kind: 'snapshot', id, sequence: s.number }),
          (a) => a.kind === 'bytes',
        ),
      );
      return bytes;
    },
    end() {
      if (s.closed) return;
      s.closed = true;
      link.post({ kind: 'end', sequence: s.number });
    },
  });

  return {
    sequence() {
      const s = fresh([]);
      link.post({ kind: 'create', sequence: s.number });
      return wrap(s);
    },
    async restore(bytes) {
      const number = ++last;
      const { ids } = await ask(
        link,
        (id) => ({ kind: 'restore', id, sequence: number, bytes }),
        (a) => a.kind === 'restored',
      );
      return wrap({ number, ids: [...ids], closed: false, busy: false });
    },
  };
}

function usable(link: Link, s: State): void {
  if (link.ended() || s.closed) throw new InputError('input/ended', 'the sequence has ended');
  if (s.busy)
    throw new InputError('input/busy', 'the sequence is still computing: wait for it first');
}

async function busy<T>(s: State, f: () => Promise<T>): Promise<T> {
  s.busy = true;
  try {
    return await f();
  } finally {
    s.busy = false;
  }
}

/** It holds the first `length` of `whole`. */
function become(s: State, whole: readonly number[], length: number): void {
  while (s.ids.length < length) s.ids.push(whole[s.ids.length] ?? 0);
  s.ids.length = length;
}
