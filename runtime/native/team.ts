/**
 * The team of threads that run a native step: the caller is thread 0, workers are the others. They
 * meet in words that all share: the caller advances `start`, workers say that they are awake, and
 * once all are the caller lets them `go`. No thread is in native code, which waits at barriers for
 * all others, before every thread is there: one that died is an error and nobody waits for it.
 */
import { DeviceError } from '../errors.ts';
import type { FoundKoffi } from './koffi.ts';
import type { NodeModules } from './node.ts';

/** `step(control, thread)` of a loaded library. */
export type Step = (control: bigint, thread: number) => void;

export interface Team {
  /** Resolves once all threads wait for work; rejects with DeviceError `device/thread`. */
  readonly ready: Promise<void>;
  /** Says what to run, before the first step. */
  prepare(step: Step, address: bigint, control: bigint): void;
  /**
   * Runs the step on all threads; all have ended when it returns, or when its promise resolves. Throws
   * DeviceError `device/thread` where a thread has died; the team is of no use then.
   */
  run(): void | Promise<void>;
  close(): void;
}

/** Words, each in a cache line of its own. */
const words = { start: 0, awake: 16, go: 32, finished: 48, stop: 64 } as const;
/** Addresses of the step and of the control block, 64 bits each. */
const addresses = 40;
const sharedBytes = 512;

/** How long a worker looks for the next step before it sleeps, ms; sampling takes about as long. */
const idleMs = 0.2;
/**
 * How long a thread looks for others in the midst of a step, ms. One that was woken is there sooner,
 * unless it waits for a core: for this one, it may be, which it gets only once this thread sleeps.
 */
const spinMs = 0.02;
/** How long the caller waits for others to wake up before it gives the event loop a turn, ms. */
const wakeMs = 20;

/** Runs in each worker. */
const source = `
const { workerData, parentPort } = require('node:worker_threads');
const { path, shared, thread, idle, spin } = workerData;
const koffi = require(path);
koffi.load(null); // without it koffi 3.3.4 has no memory for calls in this thread, and crashes
const type = koffi.proto('void', ['uintptr_t', 'int32_t']);
/** Looks for a while whether a word is still what it was, then sleeps. */
function waitWhile(word, was, most) {
  const until = performance.now() + most;
  for (let n = 1; Atomics.load(shared, word) === was; n++) {
    if (most === 0 || ((n & 31) === 0 && performance.now() > until)) {
      Atomics.wait(shared, word, was);
    }
  }
}
let step, control;
let seen = 0;
parentPort.postMessage('ready');
for (;;) {
  const before = seen;
  waitWhile(${words.start}, before, idle);
  seen = Atomics.load(shared, ${words.start});
  if (Atomics.load(shared, ${words.stop}) !== 0) break;
  if (step === undefined) {
    const at = new BigInt64Array(shared.buffer);
    step = koffi.decode(at[${addresses}], type);
    control = at[${addresses + 1}];
  }
  Atomics.add(shared, ${words.awake}, 1);
  Atomics.notify(shared, ${words.awake});
  waitWhile(${words.go}, before, spin);
  if (Atomics.load(shared, ${words.stop}) !== 0) break;
  step(control, thread);
  Atomics.add(shared, ${words.finished}, 1);
  Atomics.notify(shared, ${words.finished});
}`;

/** Starts the workers, all at once; the caller goes on while they come up. */
export function startTeam(node: NodeModules, { path }: FoundKoffi, threads: number): Team {
  const shared = new Int32Array(new SharedArrayBuffer(sharedBytes));
  // Where cores are fewer than threads, a thread that spins keeps another one from its work.
  const enough = threads <= node.os.availableParallelism();
  const [idle, spin] = enough ? [idleMs, spinMs] : [0, 0];
  const others = threads - 1;
  let closed = false;
  let lost: DeviceError | undefined;
  let runAlone: () => void = () => undefined;

  const lose = (reason: string): DeviceError =>
    (lost ??= new DeviceError('device/thread', `a thread of the model has ended: ${reason}`));
  const workers = Array.from({ length: others }, (_, i) => {
    const workerData = { path, shared, thread: i + 1, idle, spin };
    const worker = new node.threads.Worker(source, { eval: true, workerData });
    // A team that waits for work does not keep the process alive.
    worker.once('error', (e) => lose(String(e)));
    worker.once('exit', (code) => lose(`exit ${code}; load the model again`));
    return worker;
  });
  const ready = Promise.all(
    workers.map(
      (worker) =>
        new Promise<void>((resolve, reject) => {
          worker.once('message', () => {
            worker.unref();
            resolve();
          });
          worker.once('error', (e) => reject(lose(String(e))));
          worker.once('exit', (code) => reject(lose(`exit ${code}`)));
        }),
    ),
  ).then(() => undefined);
  ready.catch(() => undefined); // told by `run` as well, for whoever does not wait for it

  /** True once a word has reached a count; false if that takes longer than `most` ms. */
  const reaches = (word: number, count: number, most: number): boolean => {
    const begin = performance.now();
    for (let n = 1; ; n++) {
      const now = Atomics.load(shared, word);
      if (now === count) return true;
      if (spin !== 0 && (n & 31) !== 0) continue;
      const waited = performance.now() - begin;
      if (waited > most) return false;
      if (waited >= spin) Atomics.wait(shared, word, now, 5);
    }
  };
  const set = (word: number, value: number): void => {
    Atomics.store(shared, word, value);
    Atomics.notify(shared, word);
  };
  const go = (): void => {
    set(words.go, Atomics.load(shared, words.start));
    runAlone();
    reaches(words.finished, others, Infinity);
  };
  /** The event loop has its turns meanwhile: they tell of threads that have ended. */
  const goLater = async (): Promise<void> => {
    while (!reaches(words.awake, others, 0)) {
      if (lost) throw lost;
      if (closed) throw new DeviceError('device/closed', 'the model was closed');
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    if (closed) throw new DeviceError('device/closed', 'the model was closed');
    go();
  };
  return {
    ready,
    prepare(step, address, control) {
      const at = new BigInt64Array(shared.buffer);
      at[addresses] = address;
      at[addresses + 1] = control;
      runAlone = () => step(control, 0);
    },
    run() {
      if (others === 0) return runAlone();
      if (lost) throw lost;
      Atomics.store(shared, words.awake, 0);
      Atomics.store(shared, words.finished, 0);
      set(words.start, (Atomics.load(shared, words.start) + 1) | 0);
      return reaches(words.awake, others, wakeMs) ? go() : goLater();
    },
    close() {
      closed = true;
      Atomics.store(shared, words.stop, 1);
      for (const word of [words.start, words.go]) set(word, (Atomics.load(shared, word) + 1) | 0);
      for (const worker of workers) {
        worker.removeAllListeners();
        void worker.terminate();
      }
    },
  };
}
