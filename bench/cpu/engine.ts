/** Engines that measure on request: a process each, spoken to by lines of JSON. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type Tools, root } from './tools.ts';

export type Answer = Readonly<Record<string, unknown>>;

/** The requests are those of `peers/protocol.mjs`. */
export type Request = { readonly do: string } & Readonly<Record<string, string | number>>;

export interface Engine {
  readonly name: string;
  /** Throws the engine's own error. One request at a time. */
  ask(request: Request): Promise<Answer>;
  close(): Promise<void>;
}

/** A figure of an answer; throws where it is none. */
export function figure(answer: Answer, key: string): number {
  const value = answer[key];
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new Error(`no figure ${key} in the answer ${JSON.stringify(answer)}`);
  }
  return value;
}

/** No request takes longer but one that hangs. */
const patience = 15 * 60_000;

/** Throws once the engine has taken too long; `give` is called then. */
export async function inTime<T>(name: string, work: Promise<T>, give: () => void): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      give();
      reject(new Error(`${name} gave no answer in ${patience / 60_000} minutes`));
    }, patience);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs `bench/peers/SCRIPT` with its options; nothing is loaded until it is asked. */
export function startProcess(
  name: string,
  script: string,
  options: Readonly<Record<string, unknown>>,
  tools: Tools,
): Engine {
  const child = spawn(process.execPath, [`${root}bench/peers/${script}`, JSON.stringify(options)], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  tools.watch(child);
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2000);
  });
  // Writing to a process that has died is told by its end.
  child.stdin.on('error', () => undefined);
  const waiting: ((line: string | Error) => void)[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    // Libraries may print lines of their own.
    if (line.startsWith('{')) waiting.shift()?.(line);
  });
  const ended = new Promise<void>((resolve) => {
    child.once('close', (code, signal) => {
      const why = `${name} ended (${signal ?? code ?? 'unknown'}) ${said.trim()}`;
      waiting.splice(0).forEach((w) => w(new Error(why.trim())));
      resolve();
    });
  });
  return {
    name,
    async ask(request) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`${name} has ended ${said.trim()}`);
      const reply = new Promise<string | Error>((resolve) => {
        waiting.push(resolve);
        child.stdin.write(`${JSON.stringify(request)}\n`);
      });
      const line = await inTime(name, reply, () => child.kill('SIGKILL'));
      if (line instanceof Error) throw line;
      const answer: unknown = JSON.parse(line);
      if (!isAnswer(answer)) throw new Error(`${name}: ${line}`);
      if (answer['error'] !== undefined) throw new Error(`${name}: ${String(answer['error'])}`);
      return answer;
    },
    async close() {
      child.stdin.end();
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(late);
    },
  };
}

const isAnswer = (x: unknown): x is Answer => typeof x === 'object' && x !== null;
