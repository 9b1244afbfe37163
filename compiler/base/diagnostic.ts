/** Mistakes in templates, as data: a code of the catalogue, the places, and what each contributes. */
import { type MessageCode, type MessageParams, messages } from './messages.ts';
import type { Message } from './messages/message.ts';
import type { Span } from './source.ts';

export interface Label {
  readonly span: Span;
  /** What this place contributes; empty for the place itself. */
  readonly text: string;
}

export interface Diagnostic {
  readonly code: string;
  /** Absent for mistakes; a warning does not keep a model from being compiled. */
  readonly severity?: 'warning';
  readonly text: string;
  /** The first is where to edit. */
  readonly labels: readonly Label[];
  readonly help?: string;
}

/** Collects the mistakes and warnings of one compile. */
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
  /** Whether there is a mistake; warnings are none. */
  readonly failed: boolean;
}

export function makeLog(): Log {
  const found: Diagnostic[] = [];
  const seen = new Set<string>();
  const log: Log = {
    get failed() {
      return found.some((d) => d.severity !== 'warning');
    },
    report(code, params, labels, help) {
      // The parameters were checked against the code by the signature.
      const message = messages[code] as Message<MessageParams<typeof code>>;
      const text = message.text(params);
      const hint = help ?? message.help;
      log.add({
        code,
        ...(message.severity === undefined ? {} : { severity: message.severity }),
        text,
        labels,
        ...(hint === undefined ? {} : { help: hint }),
      });
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
