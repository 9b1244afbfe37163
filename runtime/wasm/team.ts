/**
 * The team of threads that run a step: the caller is thread 0, workers are the others. They meet in
 * the control block: the caller advances `start`, each worker runs the step and counts itself in
 * `finished`. The main thread of a page must not sleep at barriers: there all threads are workers,
 * and the last one to finish tells the page.
 */
import { control } from '../manifest.ts';
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
function main({ module, memory, thread, reportAt }, ready, report) {
  const words = new Int32Array(memory.buffer);
  const { step } = new WebAssembly.Instance(module, { env: { memory } }).exports;
  let seen = Atomics.load(words, ${control.start});
  ready();
  for (;;) {
    let left = ${spins};
    while (Atomics.load(words, ${control.start}) === seen) {
      if (--left === 0) {
        Atomics.wait(words, ${control.start}, seen);
        left = ${spins};
      }
    }
    seen = Atomics.load(words, ${control.start});
    if (Atomics.load(words, ${control.stop}) !== 0) return;
    step(thread);
    const finished = Atomics.add(words, ${control.finished}, 1) + 1;
    Atomics.notify(words, ${control.finished});
    if (finished === reportAt) report();
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

export async function makeTeam(
  threads: number,
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  step: Step,
): Promise<Team> {
  const words = new Int32Array(memory.buffer);
  const inNode = typeof process !== 'undefined' && process.versions?.node !== undefined;
  const onPage = !inNode && typeof document !== 'undefined';
  if (onPage) return makePageTeam(threads, module, memory);
  const stops: (() => void)[] = [];
  for (let thread = 1; thread < threads; thread++) {
    const input = { module, memory, thread, reportAt: 0 };
    stops.push(await (inNode ? startNodeWorker(input) : startBrowserWorker(input)));
  }
  return {
    run() {
      release(words);
      step(0);
      let left = spins;
      for (;;) {
        const done = Atomics.load(words, control.finished);
        if (done === threads - 1) return;
        if (--left <= 0) Atomics.wait(words, control.finished, done, 10);
      }
    },
    close: () => stopAll(words, stops),
  };
}

/** All threads as workers, so that the page neither sleeps nor spins. */
async function makePageTeam(
  threads: number,
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
): Promise<Team> {
  const words = new Int32Array(memory.buffer);
  const stops: (() => void)[] = [];
  let finish: () => void = () => undefined;
  for (let thread = 0; thread < threads; thread++) {
    const input = { module, memory, thread, reportAt: threads };
    stops.push(await startBrowserWorker(input, () => finish()));
  }
  return {
    run: () =>
      new Promise<void>((resolve) => {
        finish = resolve;
        release(words);
      }),
    close() {
      stopAll(words, stops);
      finish();
    },
  };
}

/** Lets waiting workers run a step. */
function release(words: Int32Array): void {
  Atomics.store(words, control.finished, 0);
  Atomics.add(words, control.start, 1);
  Atomics.notify(words, control.start);
}

function stopAll(words: Int32Array, stops: readonly (() => void)[]): void {
  Atomics.store(words, control.stop, 1);
  Atomics.add(words, control.start, 1);
  Atomics.notify(words, control.start);
  stops.forEach((stop) => stop());
}

interface WorkerInput {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
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
