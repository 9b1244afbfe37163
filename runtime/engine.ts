/**
 * The engine: sequences over the paged cache, and the steps that advance them together. Work that is
 * waiting when a step is built goes into it: single tokens first, then chunks of prompts, up to the
 * executor's limits.
 */
import { type BlockPool, makeBlockPool } from './cache.ts';
import type { Executor } from './device.ts';
import { InputError } from './errors.ts';

/** Which positions of appended tokens want logits. */
export type Wanted = 'none' | 'last' | 'all';

/** Called with the logits of an appended token; the view is valid during the call only. */
export type OnLogits = (index: number, logits: Float32Array) => void;

export interface SequenceState {
  /** Keys the random numbers; a fork may share it. */
  readonly key: number;
  readonly ids: number[];
  readonly blocks: number[];
  closed: boolean;
  busy: boolean;
}

interface Work {
  readonly sequence: SequenceState;
  readonly ids: readonly number[];
  readonly wanted: Wanted;
  readonly onLogits: OnLogits;
  readonly chunk: number;
  done: number;
  resolve(): void;
  reject(e: unknown): void;
}

export interface Engine {
  readonly executor: Executor;
  readonly pool: BlockPool;
  create(key: number): SequenceState;
  /** Appends ids and resolves once they are computed. Throws InputError before anything runs. */
  append(
    s: SequenceState,
    ids: readonly number[],
    wanted: Wanted,
    onLogits: OnLogits,
    chunk?: number,
  ): Promise<void>;
  fork(s: SequenceState, key: number): SequenceState;
  /** Keeps others from changing a sequence until what this returns is called. */
  hold(s: SequenceState): () => void;
  /** Drops all but the first `length` tokens. */
  rollback(s: SequenceState, length: number): void;
  /** Fresh blocks for a restored sequence of `tokens` tokens. */
  adopt(key: number, ids: readonly number[]): SequenceState;
  end(s: SequenceState): void;
  close(): void;
}

export function makeEngine(executor: Executor): Engine {
  const { limits, batch } = executor;
  const pool = makeBlockPool(limits.blocks, limits.block);
  const queue: Work[] = [];
  let scheduled = false;
  let running = false;
  let closed = false;
  const context = limits.blocksPerSequence * limits.block;

  const engine: Engine = {
    executor,
    pool,
    create: (key) => ({ key, ids: [], blocks: [], closed: false, busy: false }),
    append(s, ids, wanted, onLogits, chunk = limits.tokens) {
      check(s, ids, chunk);
      if (ids.length === 0) return Promise.resolve();
      s.busy = true;
      return new Promise<void>((resolve, reject) => {
        queue.push({ sequence: s, ids, wanted, onLogits, chunk, done: 0, resolve, reject });
        schedule();
      });
    },
    fork(s, key) {
      usable(s);
      s.blocks.forEach(pool.share);
      return { key, ids: [...s.ids], blocks: [...s.blocks], closed: false, busy: false };
    },
    hold(s) {
      usable(s);
      s.busy = true;
      return () => {
        s.busy = false;
      };
    },
    rollback(s, length) {
      usable(s);
      if (!Number.isInteger(length) || length < 0 || length > s.ids.length) {
        throw new InputError(
          'input/length',
          `a sequence of ${s.ids.length} tokens cannot be cut to ${length}`,
        );
      }
      s.ids.length = length;
      while (s.blocks.length > Math.ceil(length / limits.block)) pool.release(s.blocks.pop() ?? 0);
    },
    adopt(key, ids) {
      const blocks: number[] = [];
      try {
        for (let i = 0; i < Math.ceil(ids.length / limits.block); i++) blocks.push(pool.take());
      } catch (e) {
        blocks.forEach(pool.release);
        throw e;
      }
      return { key, ids: [...ids], blocks, closed: false, busy: false };
    },
    end(s) {
      if (s.closed) return;
      s.closed = true;
      s.blocks.forEach(pool.release);
      s.blocks.length = 0;
    },
    close() {
      if (closed) return;
      closed = true;
      const ended = new InputError('input/ended', 'the model was closed');
      [...queue].forEach((work) => finish(work, ended));
      executor.close();
    },
  };
  return engine;

  function usable(s: SequenceState): void {
    if (closed || s.closed) throw new InputError('input/ended', 'the sequence has ended');
    if (s.busy)
      throw new InputError('input/busy', 'the sequence is still computing: wait for it first');
  }

  function check(s: SequenceState, ids: readonly number[], chunk: number): void {
    usable(s);
    if (!Number.isInteger(chunk) || chunk < 1) {
      throw new InputError('input/option', `a chunk has at least 1 token, found ${chunk}`);
    }
    const bad = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= limits.vocab);
    if (bad !== undefined) {
      throw new InputError(
        'input/id',
        `token id ${bad} is outside the vocabulary of ${limits.vocab}`,
      );
    }
    if (s.ids.length + ids.length > context) {
      throw new InputError(
        'input/context',
        `${s.ids.length + ids.length} tokens do not fit the context of ${context}: shorten the prompt or load with a larger context`,
      );
    }
  }

  /** Steps run between turns of the event loop: whoever asks meanwhile is in the next one. */
  function schedule(): void {
    if (scheduled || running || queue.length === 0) return;
    scheduled = true;
    nextTurn(() => {
      scheduled = false;
      void runStep();
    });
  }

  /** One at a time: where a step takes turns of the event loop, what is asked meanwhile waits for it. */
  async function runStep(): Promise<void> {
    const parts = build();
    if (parts.length === 0) return;
    running = true;
    try {
      await executor.step();
      if (!closed) take(parts); // closed meanwhile: its work has been told
    } catch (e) {
      if (!closed) parts.filter((p) => queue.includes(p.work)).forEach((p) => finish(p.work, e));
    } finally {
      running = false;
    }
    schedule();
  }

  /** What a step has computed: logits to who wants them, the tokens to their sequences. */
  function take(parts: readonly Part[]): void {
    for (const { work, from, count, row } of parts) {
      work.sequence.ids.push(...work.ids.slice(from, from + count));
      work.done = from + count;
      let r = row;
      for (let i = from; i < from + count; i++)
        if (wants(work, i)) work.onLogits(i, executor.logits(r++));
      if (work.done === work.ids.length) finish(work);
    }
  }

  function finish(work: Work, error?: unknown): void {
    work.sequence.busy = false;
    queue.splice(queue.indexOf(work), 1);
    if (error === undefined) work.resolve();
    else work.reject(error);
  }

  function wants(work: Work, index: number): boolean {
    return work.wanted === 'all' || (work.wanted === 'last' && index === work.ids.length - 1);
  }

  interface Part {
    readonly work: Work;
    readonly from: number;
    readonly count: number;
    /** The first of its wanted rows in the step. */
    readonly row: number;
  }

  /** Fills the batch from the queue: short work first, so that decodes do not wait for prompts. */
  function build(): Part[] {
    const parts: Part[] = [];
    batch.tokens = 0;
    batch.wanted = 0;
    const waiting = [...queue].sort((a, b) => left(a) - left(b));
    for (const work of waiting) {
      if (parts.length === limits.sequences) break;
      const room = Math.min(left(work), work.chunk, limits.tokens - batch.tokens);
      const count = work.wanted === 'all' ? Math.min(room, limits.rows - batch.wanted) : room;
      if (count <= 0 || (work.wanted === 'last' && batch.wanted === limits.rows)) continue;
      try {
        reserve(work.sequence, count);
      } catch (e) {
        finish(work, e);
        continue;
      }
      parts.push({ work, from: work.done, count, row: batch.wanted });
      fill(work, parts.length - 1, count);
    }
    return parts;
  }

  function left(work: Work): number {
    return work.ids.length - work.done;
  }

  /** Blocks for `count` more tokens; a partly filled block that is shared is copied first. */
  function reserve(s: SequenceState, count: number): void {
    const length = s.ids.length;
    const last = s.blocks.length - 1;
    const partial = s.blocks[last];
    if (length % limits.block !== 0 && partial !== undefined && pool.shared(partial)) {
      const own = pool.take();
      executor.copyBlock(partial, own);
      pool.release(partial);
      s.blocks[last] = own;
    }
    while (s.blocks.length * limits.block < length + count) s.blocks.push(pool.take());
  }

  function fill(work: Work, sequence: number, count: number): void {
    const s = work.sequence;
    const start = s.ids.length;
    const row = sequence * limits.blocksPerSequence;
    for (let b = 0; b < s.blocks.length; b++) batch.table[row + b] = s.blocks[b] ?? 0;
    for (let i = 0; i < count; i++) {
      const n = batch.tokens++;
      const position = start + i;
      batch.ids[n] = work.ids[work.done + i] ?? 0;
      batch.sequence[n] = sequence;
      batch.position[n] = position;
      batch.slot[n] =
        (s.blocks[Math.floor(position / limits.block)] ?? 0) * limits.block +
        (position % limits.block);
      batch.length[n] = position + 1;
      if (wants(work, work.done + i)) batch.rows[batch.wanted++] = n;
    }
  }
}

/** Calls back after pending promises and events have had their turn. */
function nextTurn(f: () => void): void {
  if (typeof setImmediate === 'function') {
    setImmediate(f);
    return;
  }
  const channel = new MessageChannel();
  channel.port1.onmessage = () => {
    channel.port1.close();
    f();
  };
  channel.port2.postMessage(0);
}
