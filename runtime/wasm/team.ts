/**
 * The team of threads that run a step: the caller is thread 0, workers are the others. They meet in
 * the control block: the caller advances `start`, each worker runs the step and counts itself in
 * `finished`. The main thread of a page must not sleep at barriers: there all threads are workers,
 * and the last one to finish tells the page.
 */
import { control, controlBytes } from '../manifest.ts';
import { DeviceError } from '../errors.ts';

export interface Team {
  /** Runs the step on all threads; all have ended when it returns, or when its promise resolves. */
  run(): void | Promise<void>;
  close(): void;
}

/** How often a waiting thread looks before it sleeps. */
const spins = 50_000;

/** Runs in each worker; `receive` hands over what the thread needs, `ready` says that it waits. */
const workerBody = `
function main({ module, memory, thread, reportAt, places }, ready, report) {
  const { start, finished, stop } = places;
  const words = new Int32Array(memory.buffer, 0, ${controlBytes / 4});
  const { step } = new WebAssembly.Instance(module, { env: { memory } }).exports;
  let seen = Atomics.load(words, start);
  ready();
  for (;;) {
    let left = ${spins};
    while (Atomics.load(words, start) === seen) {
      if (--left === 0) {
        Atomics.wait(words, start, seen);
        left = ${spins};
      }
    }
    seen = Atomics.load(words, start);
    if (Atomics.load(words, stop) !== 0) return;
    step(thread);
    const count = Atomics.add(words, finished, 1) + 1;
    Atomics.notify(words, finished);
    if (count === reportAt) report();
  }
}`;

const nodeSource = `${workerBody}
const { workerData, parentPort } = require('node:worker_threads');
main(workerData, () => parentPort.postMessage('ready'), () => {});`;

const browserSource = `${workerBody}
onmessage = (e) => main(e.data, () => postMessage('ready'), () => postMessage('done'));`;

type Step = (thread: number) => void;

/** One thread: the step itself. */
export const aloneTeam = (step: Step): Team => ({ run: () => step(0), close: () => undefined });

/** A program, its memory, and how wide the words of the control block are there. */
export interface Shared {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly wordBytes: 4 | 8;
}

/** Where the threads meet: the control block in words of 32 bits, and the places there. */
interface Meeting {
  readonly words: Int32Array;
  readonly places: { readonly start: number; readonly finished: number; readonly stop: number };
}

function meetingIn({ memory, wordBytes }: Shared): Meeting {
  const at = (word: number): number => (word * wordBytes) / 4;
  return {
    words: new Int32Array(memory.buffer, 0, controlBytes / 4),
    places: { start: at(control.start), finished: at(control.finished), stop: at(control.stop) },
  };
}

export async function makeTeam(threads: number, shared: Shared, step: Step): Promise<Team> {
  const inNode = typeof process !== 'undefined' && process.versions?.node !== undefined;
  const onPage = !inNode && typeof document !== 'undefined';
  if (onPage) return makePageTeam(threads, shared);
  const meeting = meetingIn(shared);
  const { words, places } = meeting;
  const stops: (() => void)[] = [];
  for (let thread = 1; thread < threads; thread++) {
    const input = { ...shared, places, thread, reportAt: 0 };
    stops.push(await (inNode ? startNodeWorker(input) : startBrowserWorker(input)));
  }
  return {
    run() {
      release(meeting);
      step(0);
      let left = spins;
      for (;;) {
        const done = Atomics.load(words, places.finished);
        if (done === threads - 1) return;
        if (--left <= 0) Atomics.wait(words, places.finished, done, 10);
      }
    },
    close: () => stopAll(meeting, stops),
  };
}

/** All threads as workers, so that the page neither sleeps nor spins. */
async function makePageTeam(threads: number, shared: Shared): Promise<Team> {
  const meeting = meetingIn(shared);
  const stops: (() => void)[] = [];
  let finish: () => void = () => undefined;
  for (let thread = 0; thread < threads; thread++) {
    const input = { ...shared, places: meeting.places, thread, reportAt: threads };
    stops.push(await startBrowserWorker(input, () => finish()));
  }
  return {
    run: () =>
      new Promise<void>((resolve) => {
        finish = resolve;
        release(meeting);
      }),
    close() {
      stopAll(meeting, stops);
      finish();
    },
  };
}

/** Lets waiting workers run a step. */
function release({ words, places }: Meeting): void {
  Atomics.store(words, places.finished, 0);
  Atomics.add(words, places.start, 1);
  Atomics.notify(words, places.start);
}

function stopAll({ words, places }: Meeting, stops: readonly (() => void)[]): void {
  Atomics.store(words, places.stop, 1);
  Atomics.add(words, places.start, 1);
  Atomics.notify(words, places.start);
  stops.forEach((stop) => stop());
}

interface WorkerInput extends Pick<Shared, 'module' | 'memory'>, Pick<Meeting, 'places'> {
  readonly thread: number;
  /** The thread that finishes as this many reports it; 0: none does. */
  readonly reportAt: number;
}

async function startNodeWorker(input: WorkerInput): Promise<() => void> {
  const { Worker } = await import('node:worker_threads');
  const worker = new Worker(nodeSource, { eval: true, workerData: input });
  await new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', (e) =>
      reject(new DeviceError('device/thread', `a thread could not start: ${String(e)}`)),
    );
  });
  // A team that waits for work does not keep the process alive.
  worker.unref();
  return () => void worker.terminate();
}

async function startBrowserWorker(
  input: WorkerInput,
  onReport: () => void = () => undefined,
): Promise<() => void> {
  const url = URL.createObjectURL(new Blob([browserSource], { type: 'text/javascript' }));
  const worker = new Worker(url);
  await new Promise<void>((resolve, reject) => {
    worker.onmessage = (e) => (e.data === 'ready' ? resolve() : onReport());
    worker.onerror = (e) =>
      reject(new DeviceError('device/thread', `a thread could not start: ${e.message}`));
    worker.postMessage(input);
  });
  URL.revokeObjectURL(url);
  return () => worker.terminate();
}
