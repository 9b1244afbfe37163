/** What a page and the worker that holds its model say to each other. All of it can be cloned. */
import type { PassedOver } from '../device.ts';
import type { Wanted } from '../engine.ts';
import type { GenerateOptions, Part, Prompt } from '../generate.ts';
import type { Manifest } from '../manifest.ts';
import type { LoadOptions, Notice, ShardProgress } from '../options.ts';
import type { TokenizerFiles } from '../tokenizer.ts';

/** Options without what stays on its side: callbacks and signals. */
export type PlainLoadOptions = Omit<LoadOptions, 'onProgress' | 'onNotice' | 'signal' | 'worker'>;
export type PlainGenerateOptions = Omit<GenerateOptions, 'signal'>;

/** `id` names a request that is answered; `sequence` a sequence, by the page's number for it. */
export type Request =
  | {
      readonly kind: 'load';
      readonly id: number;
      readonly place: string;
      readonly options: PlainLoadOptions;
    }
  | {
      readonly kind: 'generate';
      readonly id: number;
      /** Absent: after nothing. */
      readonly sequence?: number;
      readonly prompt: Prompt;
      readonly options: PlainGenerateOptions;
      /** The signal was given already. */
      readonly aborted: boolean;
      /** Parts that may be sent before `more` of them are asked for. */
      readonly credit: number;
    }
  | { readonly kind: 'more'; readonly id: number }
  /** The reader of a generation has gone. */
  | { readonly kind: 'leave'; readonly id: number }
  | { readonly kind: 'abort'; readonly id: number }
  | { readonly kind: 'create'; readonly sequence: number }
  | {
      readonly kind: 'append';
      readonly id: number;
      readonly sequence: number;
      readonly ids: readonly number[];
      readonly options: { readonly logits?: Wanted; readonly chunk?: number };
    }
  | { readonly kind: 'fork'; readonly sequence: number; readonly from: number }
  | { readonly kind: 'rollback'; readonly sequence: number; readonly length: number }
  | { readonly kind: 'end'; readonly sequence: number }
  | { readonly kind: 'snapshot'; readonly id: number; readonly sequence: number }
  | {
      readonly kind: 'restore';
      readonly id: number;
      readonly sequence: number;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: 'logits'; readonly id: number; readonly ids: readonly number[] }
  /** Ends the model; nothing follows. */
  | { readonly kind: 'close' }
  | {
      readonly kind: 'perplexity';
      readonly id: number;
      readonly text: string;
      readonly context: number;
    };

/** A loaded model's facts, and what its tokenizer is made of once more in the page. */
export interface ModelFacts {
  readonly name: string;
  readonly vocab: number;
  readonly context: number;
  readonly target: string;
  readonly passedOver: readonly PassedOver[];
  readonly threads: number;
  readonly memoryBytes: number;
  readonly manifest: Manifest | undefined;
  readonly tokenizer: TokenizerFiles | undefined;
}

export type Answer =
  /** The worker listens. */
  | { readonly kind: 'ready' }
  /** The model and its threads have ended. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'notice'; readonly notice: Notice }
  | {
      readonly kind: 'progress';
      readonly id: number;
      readonly done: number;
      readonly total: number;
      readonly shard?: ShardProgress | undefined;
    }
  | { readonly kind: 'part'; readonly id: number; readonly part: Part; readonly length: number }
  | {
      readonly kind: 'failed';
      readonly id: number;
      readonly failure: Failure;
      readonly length?: number;
    }
  | { readonly kind: 'loaded'; readonly id: number; readonly facts: ModelFacts }
  /** Appended: the logits asked for, and the sequence's length. */
  | {
      readonly kind: 'rows';
      readonly id: number;
      readonly rows: readonly Float32Array[];
      readonly length: number;
    }
  | { readonly kind: 'bytes'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly kind: 'restored'; readonly id: number; readonly ids: readonly number[] }
  | {
      readonly kind: 'perplexity';
      readonly id: number;
      readonly perplexity: number;
      readonly tokens: number;
    }
  /** A generation has ended; its sequence has this length. */
  | { readonly kind: 'ended'; readonly id: number; readonly length: number };

/** An error as plain data: its class by name, its code. */
export interface Failure {
  readonly name: string;
  readonly code: string | undefined;
  readonly message: string;
  readonly stack: string | undefined;
}
