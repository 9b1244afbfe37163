/** What a row comes to. */
import { median } from '../statistics.ts';

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export const spreadOf = (values: readonly number[]): Spread => ({
  median: median(values),
  min: Math.min(...values),
  max: Math.max(...values),
});

export interface Side {
  /** The engine with its settings. */
  readonly engine: string;
  readonly values: readonly number[];
  readonly spread: Spread;
  /** Of weights, where tokens per second are measured. */
  readonly gigabytesPerSecond?: number;
}

export interface Measured {
  readonly unit: 'tok/s' | 's' | 'MB' | 'perplexity';
  readonly ours: Side;
  readonly theirs?: Side;
  /** Ours over theirs, round by round; its median decides. */
  readonly ratio?: Spread;
  readonly reach?: number;
  readonly reached?: boolean;
  /** What memory gave in the same rounds, with as many threads as ours. */
  readonly bandwidth?: Spread & { readonly threads: number; readonly loops: string };
  /** GB/s of our weights over that. */
  readonly share?: Spread;
  readonly reachBandwidth?: number;
  /** Settings that were tried before the rounds, and what they gave. */
  readonly tried: readonly { readonly engine: string; readonly value: number }[];
  readonly notes: readonly string[];
}

export interface RowResult {
  readonly name: string;
  readonly title: string;
  readonly date: string;
  readonly rounds: number;
  /** Of Cograph, with a `+` where the sources differ from it. */
  readonly commit: string;
  readonly machine: Machine;
  /** How busy others kept the cores just before, from 0 to 1. */
  readonly disturbance: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly measured?: Measured;
  readonly error?: string;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly features: readonly string[];
  readonly system: string;
  readonly node: string;
}
