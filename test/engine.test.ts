/** The engine over an executor whose steps take turns of the event loop, as those of a page do. */
import { expect, test } from 'vitest';
import type { Executor } from '../runtime/device.ts';
import { makeEngine } from '../runtime/engine.ts';

const limits = { tokens: 4, rows: 4, sequences: 2, blocksPerSequence: 4, blocks: 16, block: 4, vocab: 8 }; // prettier-ignore

/** Steps end when they are told to; what each was asked for is kept. */
function slowExecutor() {
  const steps: number[][] = [];
  const ends: ((e?: Error) => void)[] = [];
  const seen = { now: 0, most: 0, closed: false };
  const ints = (n: number): Int32Array => new Int32Array(n);
  const executor: Executor = {
    target: 'slow',
    threads: 1,
    limits,
    batch: {
      tokens: 0,
      wanted: 0,
      ids: ints(4),
      sequence: ints(4),
      position: ints(4),
      slot: ints(4),
      length: ints(4),
      rows: ints(4),
      table: ints(8),
    },
    step() {
      seen.most = Math.max(seen.most, ++seen.now);
      steps.push([...executor.batch.ids.subarray(0, executor.batch.tokens)]);
      return new Promise((resolve, reject) => {
        ends.push((e) => {
          seen.now--;
          if (e) reject(e);
          else resolve();
        });
      });
    },
    logits: () => new Float32Array(8),
    copyBlock: () => undefined,
    blockBytes: 4,
    readBlock: () => new Uint8Array(4),
    writeBlock: () => undefined,
    memoryBytes: 0,
    close() {
      seen.closed = true;
    },
  };
  return { executor, steps, ends, seen };
}

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
const nothing = (): void => undefined;

test('what is asked during a step waits for its end', async () => {
  const { executor, steps, ends, seen } = slowExecutor();
  const engine = makeEngine(executor);
  const [a, b] = [engine.create(0), engine.create(1)];
  const first = engine.append(a, [1, 2], 'last', nothing);
  await turn();
  const second = engine.append(b, [3], 'last', nothing);
  await turn();
  expect(steps).toEqual([[1, 2]]);
  ends[0]?.();
  await first;
  await turn();
  expect(steps).toEqual([[1, 2], [3]]);
  ends[1]?.();
  await second;
  expect([a.ids, b.ids]).toEqual([[1, 2], [3]]);
  expect(seen.most).toBe(1);
});

test('a step that fails is told to those in it; the others go on', async () => {
  const { executor, ends } = slowExecutor();
  const engine = makeEngine(executor);
  const all = [1, 2, 3].map((id) => engine.append(engine.create(0), [id], 'last', nothing));
  const told = Promise.allSettled(all);
  await turn();
  ends[0]?.(new Error('broken'));
  await turn();
  ends[1]?.();
  const broken = { status: 'rejected', reason: new Error('broken') };
  expect(await told).toEqual([broken, broken, { status: 'fulfilled', value: undefined }]);
});

test('closing during a step tells everyone, and nothing of the step is read', async () => {
  const { executor, ends, seen } = slowExecutor();
  const engine = makeEngine(executor);
  let read = 0;
  const told = engine.append(engine.create(0), [1], 'last', () => read++);
  await turn();
  engine.close();
  await expect(told).rejects.toMatchObject({ code: 'input/ended' });
  ends[0]?.();
  await turn();
  expect([read, seen.closed]).toEqual([0, true]);
});
