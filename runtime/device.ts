/**
 * What a target is to the runtime: something that holds weights and a paged cache and runs steps.
 * A device knows nothing of tokens' meaning, requests or languages, and has no op names.
 */

/**
 * One ragged step: token n belongs to sequence `sequence[n]` (a row of `table`), stands at
 * `position[n]`, writes its state to cache slot `slot[n]`, and sees the first `length[n]` entries of
 * its sequence, its own included. `rows` are the tokens whose logits are wanted.
 */
export interface StepBatch {
  tokens: number;
  readonly ids: Int32Array; // [tokens]
  readonly sequence: Int32Array; // [tokens]
  readonly position: Int32Array; // [tokens]
  readonly slot: Int32Array; // [tokens]
  readonly length: Int32Array; // [tokens]
  wanted: number;
  readonly rows: Int32Array; // [wanted]
  /** Block numbers; entry e of row s lies in slot table[s * blocksPerSequence + e / block] * block + e % block. */
  readonly table: Int32Array; // [sequences, blocksPerSequence]
}

export interface ExecutorLimits {
  /** Tokens and wanted rows of the largest step. */
  readonly tokens: number;
  readonly rows: number;
  /** Sequences in a step (rows of the table) and blocks of the longest sequence. */
  readonly sequences: number;
  readonly blocksPerSequence: number;
  /** Blocks of the cache, and entries in a block. */
  readonly blocks: number;
  readonly block: number;
  readonly vocab: number;
}

/** The arrays of a step, at their full sizes. */
export const emptyBatch = (limits: ExecutorLimits): StepBatch => ({
  tokens: 0,
  ids: new Int32Array(limits.tokens),
  sequence: new Int32Array(limits.tokens),
  position: new Int32Array(limits.tokens),
  slot: new Int32Array(limits.tokens),
  length: new Int32Array(limits.tokens),
  wanted: 0,
  rows: new Int32Array(limits.rows),
  table: new Int32Array(limits.sequences * limits.blocksPerSequence),
});

export interface Executor {
  readonly target: string;
  readonly threads: number;
  readonly limits: ExecutorLimits;
  /** The arrays a step reads, at their full sizes; filled in place, so that no step allocates. */
  readonly batch: StepBatch;
  /** Runs `batch`: it has ended when this returns or, if that is a promise, when it resolves. */
  step(): void | Promise<void>;
  /** Logits of wanted row `row` of the last step, [vocab] f32; valid until the next step. */
  logits(row: number): Float32Array;
  /** Copies all state of block `from` to block `to` (copy on write of forks). */
  copyBlock(from: number, to: number): void;
  /** Bytes of one block's state, and that state out of and into the cache (snapshots). */
  readonly blockBytes: number;
  readBlock(block: number): Uint8Array | Promise<Uint8Array>;
  writeBlock(block: number, bytes: Uint8Array): void;
  /** Peak bytes that the executor holds. */
  readonly memoryBytes: number;
  close(): void;
}

/** Options that decide an executor's size, all chosen at load. */
export interface ExecutorOptions {
  readonly threads: number;
  /** Longest sequence, in tokens. */
  readonly context: number;
  /** Cached tokens over all sequences. */
  readonly capacity: number;
  /** Sequences that may step together. */
  readonly sequences: number;
}

/** A target that another one was taken before or instead of, and why. */
export interface PassedOver {
  readonly target: string;
  readonly why: string;
}
