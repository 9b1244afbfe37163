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
  readonly code: MessageCode;
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
  /** In the order of their places. */
  diagnostics(): readonly Diagnostic[];
  /** Whether there is a mistake; warnings are none. */
  readonly failed: boolean;
}

export function makeLog(): Log {
  const found: Diagnostic[] = [];
  const seen = new Set<string>();
  let failed = false;
  return {
    get failed() {
      return failed;
    },
    report(code, params, labels, help) {
      // The parameters were checked against the code by the signature.
      const message = messages[code] as Message<MessageParams<typeof code>>;
      const text = message.text(params);
      const span = labels[0]?.span;
      const key = `${code} ${text} ${span?.source.file} ${span?.source.line} ${span?.start}`;
      if (seen.has(key)) return;
      seen.add(key);
      const hint = help ?? message.help;
      failed ||= message.severity === undefined;
      found.push({
        code,
        ...(message.severity === undefined ? {} : { severity: message.severity }),
        text,
        labels,
        ...(hint === undefined ? {} : { help: hint }),
      });
    },
    diagnostics() {
      const minor = (d: Diagnostic): boolean => {
        const message: Message<never> = messages[d.code];
        return message.minor === true;
      };
      return found.filter((d) => !failed || !minor(d)).sort(byPlace);
    },
  };
}

function byPlace(a: Diagnostic, b: Diagnostic): number {
  const [x, y] = [a.labels[0]?.span, b.labels[0]?.span];
  if (!x || !y) return 0;
  if (x.source.file !== y.source.file) return x.source.file < y.source.file ? -1 : 1;
  return x.source.line - y.source.line || x.start - y.start;
}
