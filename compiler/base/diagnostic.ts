/** Mistakes in templates, as data: a code of the catalogue, the places, and what each contributes. */
import type { MessageCode, MessageParams } from './messages.ts';
import { messages } from './messages.ts';
import type { Span } from './source.ts';

export interface Label {
  readonly span: Span;
  /** What this place contributes; empty for the place itself. */
  readonly text: string;
}

export interface Diagnostic {
  readonly code: string;
  readonly text: string;
  /** The first is where to edit. */
  readonly labels: readonly Label[];
  readonly help?: string;
}

/** Collects the mistakes of one compile. */
export interface Log {
  report<K extends MessageCode>(
    code: K,
    params: MessageParams<K>,
    labels: readonly Label[],
    help?: string,
  ): void;
  /** A mistake whose text an op's record wrote. */
  add(diagnostic: Diagnostic): void;
  /** In the order of their places. */
  diagnostics(): readonly Diagnostic[];
  readonly failed: boolean;
}

export function makeLog(): Log {
  const found: Diagnostic[] = [];
  const seen = new Set<string>();
  const log: Log = {
    get failed() {
      return found.length > 0;
    },
    report(code, params, labels, help) {
      const message = messages[code];
      // The parameters were checked against the code by the signature.
      const text = (message.text as (p: MessageParams<typeof code>) => string)(params);
      const hint = help ?? ('help' in message ? message.help : undefined);
      log.add({ code, text, labels, ...(hint === undefined ? {} : { help: hint }) });
    },
    add(diagnostic) {
      const [first] = diagnostic.labels;
      const key = `${diagnostic.code} ${diagnostic.text} ${first?.span.source.file} ${first?.span.source.line} ${first?.span.start}`;
      if (seen.has(key)) return;
      seen.add(key);
      found.push(diagnostic);
    },
    diagnostics: () =>
      [...found].sort((a, b) => (a.labels[0]?.span.start ?? 0) - (b.labels[0]?.span.start ?? 0)),
  };
  return log;
}
