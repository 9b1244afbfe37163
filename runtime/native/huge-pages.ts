/**
 * Mapped files in pages of 2 MiB (Linux). A core that streams weights through pages of 4 KiB looks up
 * an address every 200 ns; with large pages decoding is a quarter faster. Linux maps a file so where
 * its cache holds it in pieces of that size, which it makes when it reads a file that was advised so;
 * what was cached before in small pieces (a bundle that has just been written) must be read again.
 */
import type { Koffi } from './koffi.ts';
import type { NodeModules } from './node.ts';

/** Bytes of a large page. */
export const hugePage = 2 ** 21;

/** A mapped file: its descriptor is asked for again where it must be read anew. */
export interface MappedFile {
  readonly at: number;
  readonly bytes: number;
  /** Maps the file at its place again. */
  map(): void;
  /** Runs `use` with the open file. */
  open(use: (file: number) => void): void;
}

export interface HugePages {
  /** Before a mapping is touched: wants large pages for it. */
  advise(at: number, bytes: number): void;
  /** Brings the files into memory, in large pages where they are to be had; told each file's end. */
  fill(files: readonly MappedFile[], onFile: (index: number) => void): void;
}

/** Bytes a second that files must be read with for reading them again to be worth it. */
const fast = 400e6;

const advice = { hugePage: 14, populateRead: 22, dontNeed: 4 } as const;

export function makeHugePages(c: ReturnType<Koffi['load']>, fs: NodeModules['fs']): HugePages {
  const madvise: (at: number, bytes: number, how: number) => number = c.func('madvise', 'int', [
    'uintptr_t',
    'size_t',
    'int',
  ]);
  const fadvise: (file: number, from: number, bytes: number, how: number) => number = c.func(
    'posix_fadvise',
    'int',
    ['int', 'int64_t', 'int64_t', 'int'],
  );
  const advise = (at: number, bytes: number): void => void madvise(at, bytes, advice.hugePage);
  const populate = (f: MappedFile): void => void madvise(f.at, f.bytes, advice.populateRead);

  /** Drops what is cached of the file, and reads it again in large pieces. */
  function readAgain(f: MappedFile): void {
    f.map();
    f.open((file) => {
      fs.fdatasyncSync(file);
      fadvise(file, 0, 0, advice.dontNeed);
    });
    advise(f.at, f.bytes);
    populate(f);
  }

  return {
    advise,
    fill(files, onFile) {
      files.forEach((f, i) => {
        populate(f);
        onFile(i);
      });
      const large = files.filter((f) => f.bytes >= hugePage);
      for (const f of withoutHugePages(fs, large)) {
        const from = performance.now();
        readAgain(f);
        const seconds = (performance.now() - from) / 1000;
        // No large pages for files here, or a slow disk: the others stay as they are.
        if (withoutHugePages(fs, [f]).length > 0 || f.bytes / seconds < fast) break;
      }
    },
  };
}

/** Those of which less than half is mapped in large pages. */
function withoutHugePages(fs: NodeModules['fs'], files: readonly MappedFile[]): MappedFile[] {
  let text: string;
  try {
    text = fs.readFileSync('/proc/self/smaps', 'latin1');
  } catch {
    return [];
  }
  const sizes = new Map<number, number>();
  let at = -1;
  for (const line of text.split('\n')) {
    const range = /^([0-9a-f]+)-[0-9a-f]+ /.exec(line);
    if (range) at = Number.parseInt(range[1] ?? '', 16);
    const kilobytes = /^FilePmdMapped: +(\d+) kB/.exec(line)?.[1];
    if (kilobytes !== undefined) sizes.set(at, 1024 * Number(kilobytes));
  }
  return files.filter((f) => (sizes.get(f.at) ?? 0) < f.bytes / 2);
}
