/** What all parts of the benchmark of the CPU share: folders, notes, and the end of all children. */
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export type TargetName = 'native' | 'wasm';

export interface Tools {
  readonly cache: string;
  /** A line on standard error. */
  note(text: string): void;
  /** Text of another program's progress. */
  progress(text: string): void;
  /** Ends the child with this process; the result forgets it. */
  watch(child: ChildProcess): () => void;
}

/** On Ctrl-C and where something throws nothing is left running: children are killed. */
export function makeTools(cache: string): Tools {
  const children = new Set<ChildProcess>();
  const killAll = (): void => children.forEach((c) => c.kill('SIGKILL'));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      killAll();
      process.exit(130);
    });
  }
  process.once('exit', killAll);
  return {
    cache,
    note: (text) => process.stderr.write(`${text}\n`),
    progress: (text) => process.stderr.write(text),
    watch(child) {
      children.add(child);
      child.once('close', () => children.delete(child));
      return () => children.delete(child);
    },
  };
}
