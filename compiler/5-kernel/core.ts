/**
 * What the cost model takes a processor's core to be. Figures are of the processors that are common, not
 * of one: choices that hang on them by less than `margin` are to be measured.
 */
import type { Expr } from '../scalar/expr.ts';

export interface Core {
  /** Vector registers of the instruction set, and bytes of one. */
  readonly registers: number;
  readonly registerBytes: number;
  /** Instructions on one register of what is not one instruction. */
  readonly made: Partial<Readonly<Record<Expr['op'], number>>>;
  /** Vector instructions a second. */
  readonly perSecond: number;
  /** Memory as one core sees it. */
  readonly memory: Memory;
}

interface Memory {
  /** Seconds until a line that was asked for is there. */
  readonly latency: number;
  /** Lines that a core has on their way at once, at most. */
  readonly outstanding: number;
  /** Lines that the hardware asks for ahead in a stream that it follows. */
  readonly follows: number;
  /** Bytes of the cache that a core has for itself. */
  readonly cache: number;
}

/**
 * 100 ns and 32 lines are about 20 GB/s, what one core of the measured servers reads (17 to 24); Intel's
 * streams run 20 lines ahead at most, half of it on the way through a page. A second-level cache of 1
 * MiB is what servers since Skylake and Zen 4 have.
 */
const memory: Memory = { latency: 100e-9, outstanding: 32, follows: 10, cache: 2 ** 20 };

/** Two vector instructions a cycle at 3 GHz. */
const perSecond = 6e9;

/**
 * `dot4` without VNNI multiplies and adds pairs, adds their sums, and those to the total. A table is
 * looked up where bytes lie, but in 512 bits by halves.
 */
export const avx512Core: Core = {
  registers: 32,
  registerBytes: 64,
  made: { lookup: 2 },
  perSecond,
  memory,
};
export const avx2Core: Core = {
  registers: 16,
  registerBytes: 32,
  made: { dot4: 3, dots: 3 },
  perSecond,
  memory,
};
export const armCore: Core = { registers: 32, registerBytes: 16, made: {}, perSecond, memory };
/**
 * Engines on x86-64 have 16 registers. A half is widened bit by bit; products of pairs are added by an
 * instruction of their own.
 */
export const wasmCore: Core = {
  registers: 16,
  registerBytes: 16,
  made: { dot4: 3, dots: 2, dot2: 2, half: 6 },
  perSecond,
  memory,
};
