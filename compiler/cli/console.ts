/** What commands print: results on standard output, everything else on standard error. */
import { progress as bar } from '@clack/prompts';

export interface Console {
  /** A result, or a piece of it. */
  out(text: string): void;
  /** A note for humans. */
  note(text: string): void;
  /** A bar for long work; `update` may be called as often as wished. */
  progress(label: string): Progress;
}

export interface Progress {
  /** What is done now. */
  step(what: string): void;
  update(done: number, total: number): void;
  end(text?: string): void;
}

/** `quiet`: no notes and no bars, for `--json` and `--quiet`. */
export function makeConsole({ quiet }: { readonly quiet: boolean }): Console {
  const note = (text: string): void => {
    if (!quiet) process.stderr.write(`${text}\n`);
  };
  return {
    out: (text) => void process.stdout.write(text),
    note,
    progress(label) {
      if (quiet || !process.stderr.isTTY) return plainProgress(label, note);
      return barProgress(label);
    },
  };
}

/** Where nobody watches: one line when the work is done. */
const plainProgress = (label: string, note: (text: string) => void): Progress => ({
  step: () => undefined,
  update: () => undefined,
  end: (text) => note(text ?? `${label}: done`),
});

const steps = 100;

function barProgress(label: string): Progress {
  const shown = bar({ max: steps, output: process.stderr });
  shown.start(label);
  let at = 0;
  return {
    step: (what) => shown.message(`${label}: ${what}`),
    update(done, total) {
      const now = total > 0 ? Math.floor((steps * done) / total) : 0;
      if (now > at) shown.advance(now - at);
      at = Math.max(at, now);
    },
    end: (text) => shown.stop(text ?? label),
  };
}

/** Bytes in the largest binary unit that they fill. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1);
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}
