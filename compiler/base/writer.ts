/** Indented text, shared by every printer and emitter. */
export interface Writer {
  line(text?: string): void;
  /** Lines written by `body` stand one level deeper. */
  indent(body: () => void): void;
  text(): string;
}

export function makeWriter(unit = '  '): Writer {
  const lines: string[] = [];
  let depth = 0;
  return {
    line: (text = '') => {
      lines.push(text === '' ? '' : unit.repeat(depth) + text);
    },
    indent: (body) => {
      depth++;
      body();
      depth--;
    },
    text: () => lines.join('\n') + (lines.length > 0 ? '\n' : ''),
  };
}
