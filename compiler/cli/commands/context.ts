import type { CachedType } from '../../2-model/effects.ts';
import type { Console } from '../console.ts';

/** What every command gets beside its own arguments. */
export interface Context {
  readonly console: Console;
  /** One JSON object is wanted instead of text: commands return it. */
  readonly json: boolean;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Flags of commands that run a model. */
export interface RunFlags {
  readonly target?: string;
  readonly threads?: number;
  readonly context?: number;
  readonly checkpoint?: string;
  readonly kv?: CachedType;
  /** False with --no-cache. */
  readonly cache?: boolean;
}

export const runOptions = (flags: RunFlags, signal: AbortSignal) => ({
  ...(flags.target === undefined ? {} : { target: flags.target }),
  ...(flags.threads === undefined ? {} : { threads: flags.threads }),
  ...(flags.context === undefined ? {} : { context: flags.context }),
  ...(flags.checkpoint === undefined ? {} : { checkpoint: flags.checkpoint }),
  ...(flags.kv === undefined ? {} : { kv: flags.kv }),
  ...(flags.cache === undefined ? {} : { cache: flags.cache }),
  signal,
});
