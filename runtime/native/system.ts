/** Memory as the operating system gives it: addresses, files mapped into one range, copies. */
import { BundleError, DeviceError } from '../errors.ts';
import { type MappedFile, hugePage, makeHugePages } from './huge-pages.ts';
import type { Koffi } from './koffi.ts';
import type { NodeModules } from './node.ts';

/** A file of the bundle and where its bytes go in the range. */
export interface Piece {
  /** As the bundle calls it, for messages. */
  readonly name: string;
  readonly path: string;
  readonly offset: number;
  readonly bytes: number;
}

/** Memory of the process. Addresses are numbers: processes have 47 bits of them. */
export interface Region {
  readonly at: number;
  release(): void;
}

export interface System {
  /**
   * Zeroed memory; pages count once they are touched, which is why none are asked to be huge: a step of
   * 512 tokens is no faster with them. Throws DeviceError `device/memory`.
   */
  allocate(bytes: number): Region;
  /**
   * Files that follow each other, in one range that may be read: mapped where the system can, so that
   * pages are read as they are used and processes share them. `onPiece` is told each file's end.
   * Throws BundleError for a file that is missing or has another size.
   */
  mapFiles(pieces: readonly Piece[], bytes: number, onPiece: (end: number) => void): Region;
  /** For memory that `allocate` gave. */
  protect(at: number, bytes: number, use: 'write' | 'execute'): void;
  copy(from: number, to: number, bytes: number): void;
  read(at: number, into: Uint8Array): void;
  write(at: number, from: Uint8Array): void;
}

export const openSystem = (koffi: Koffi, { fs }: NodeModules): System =>
  process.platform === 'win32' ? windows(koffi, fs) : posix(koffi, fs);

type Fs = NodeModules['fs'];

const noMemory = (bytes: number, reason: string): DeviceError =>
  new DeviceError(
    'device/memory',
    `${Math.ceil(bytes / 2 ** 20)} MiB of memory are not to be had here (${reason}): load with a smaller capacity`,
  );

/** Opens a piece for reading, its size checked before anything of it is used. */
function withFile<T>(fs: Fs, piece: Piece, use: (file: number) => T): T {
  let file: number;
  try {
    file = fs.openSync(piece.path, 'r');
  } catch (e) {
    throw new BundleError('bundle/file', `${piece.name} cannot be opened: ${String(e)}`);
  }
  try {
    const { size } = fs.fstatSync(file);
    if (size !== piece.bytes) {
      throw new BundleError(
        'bundle/file',
        `${piece.name} has ${size} bytes, the manifest says ${piece.bytes}: copy the bundle again`,
      );
    }
    return use(file);
  } finally {
    fs.closeSync(file);
  }
}

/** Places each piece in the range, which is given back if one cannot be placed. */
function fill(
  fs: Fs,
  range: Region,
  pieces: readonly Piece[],
  onPiece: (end: number) => void,
  place: (piece: Piece, file: number) => void,
): Region {
  try {
    for (const p of pieces) {
      withFile(fs, p, (file) => place(p, file));
      onPiece(p.offset + p.bytes);
    }
    return range;
  } catch (e) {
    range.release();
    throw e;
  }
}

/** The largest page of any system, of which shards are multiples. */
const page = 65_536;
/** Vectors may be read past the end of the last weight. */
const afterFiles = page;

type Copies = Pick<System, 'copy' | 'read' | 'write'>;

/** A function that copies memory as memmove does. */
function copies(koffi: Koffi, library: string | null, name: string): Copies {
  const f = (to: string, from: string): ((...args: readonly unknown[]) => void) =>
    koffi.load(library).func(name, 'void', [to, from, 'size_t']);
  const copy = f('uintptr_t', 'uintptr_t');
  const out = f('void *', 'uintptr_t');
  const into = f('uintptr_t', 'void *');
  return {
    copy: (from, to, bytes) => copy(to, from, bytes),
    read: (at, bytes) => out(bytes, at, bytes.byteLength),
    write: (at, bytes) => into(at, bytes, bytes.byteLength),
  };
}

const prot = { none: 0, read: 1, write: 3, execute: 5 } as const;

/** Linux and macOS. */
function posix(koffi: Koffi, fs: Fs): System {
  const c = koffi.load(null);
  const mac = process.platform === 'darwin';
  const flag = { shared: 1, private: 2, fixed: 0x10, anonymous: mac ? 0x1000 : 0x20 };
  const unreserved = mac ? 0x40 : 0x4000;
  const mmap: (...args: readonly number[]) => number | bigint = c.func('mmap', 'uintptr_t', [
    'uintptr_t',
    'size_t',
    'int',
    'int',
    'int',
    'int64_t',
  ]);
  const munmap: (at: number, bytes: number) => number = c.func('munmap', 'int', [
    'uintptr_t',
    'size_t',
  ]);
  const mprotect: (at: number, bytes: number, how: number) => number = c.func('mprotect', 'int', [
    'uintptr_t',
    'size_t',
    'int',
  ]);
  const map = (at: number, bytes: number, how: number, flags: number, file = -1): number => {
    const found = mmap(at, bytes, how, flags, file, 0);
    // MAP_FAILED is the largest address.
    if (typeof found === 'bigint') throw noMemory(bytes, `mmap: error ${koffi.errno()}`);
    return found;
  };
  const region = (at: number, bytes: number): Region => ({
    at,
    release: () => void munmap(at, bytes),
  });
  return {
    ...copies(koffi, null, 'memmove'),
    allocate: (bytes) => region(map(0, bytes, prot.write, flag.private | flag.anonymous), bytes),
    protect: (at, bytes, use) => {
      if (mprotect(at, bytes, prot[use]) !== 0)
        throw new DeviceError('device/memory', `mprotect: error ${koffi.errno()}`);
    },
    mapFiles(pieces, bytes, onPiece) {
      const all = bytes + afterFiles + hugePage;
      const whole = flag.private | flag.anonymous | unreserved;
      const reserved = map(0, all, prot.read, whole);
      const start = Math.ceil(reserved / hugePage) * hugePage;
      const range: Region = { at: start, release: () => void munmap(reserved, all) };
      const huge = mac ? undefined : makeHugePages(c, fs);
      const files: MappedFile[] = [];
      const mapped = fill(fs, range, pieces, huge ? () => undefined : onPiece, (p, file) => {
        if (p.offset % page !== 0) {
          throw new BundleError('bundle/file', `${p.name} begins at no multiple of ${page} bytes`);
        }
        const at = start + p.offset;
        const place = (f: number): void =>
          void map(at, p.bytes, prot.read, flag.shared | flag.fixed, f);
        place(file);
        huge?.advise(at, p.bytes);
        const open = (use: (f: number) => void): void => withFile(fs, p, use);
        files.push({ at, bytes: p.bytes, map: () => open(place), open });
      });
      huge?.fill(files, (i) => onPiece((pieces[i]?.offset ?? 0) + (pieces[i]?.bytes ?? 0)));
      return mapped;
    },
  };
}

/** Most bytes of memory that one view shows while a file is read into it. */
const readBytes = 2 ** 28;

/** Windows: files are read, for it maps files only at addresses of its own choice. */
function windows(koffi: Koffi, fs: Fs): System {
  const kernel = koffi.load('kernel32.dll');
  const virtualAlloc: (...args: readonly number[]) => number = kernel.func(
    'VirtualAlloc',
    'uintptr_t',
    ['uintptr_t', 'size_t', 'uint32_t', 'uint32_t'],
  );
  const virtualFree: (at: number, bytes: number, how: number) => number = kernel.func(
    'VirtualFree',
    'int',
    ['uintptr_t', 'size_t', 'uint32_t'],
  );
  const virtualProtect: (at: number, bytes: number, how: number, old: Uint32Array) => number =
    kernel.func('VirtualProtect', 'int', ['uintptr_t', 'size_t', 'uint32_t', 'void *']);
  const how = { write: 0x04, execute: 0x20 } as const;
  const commitAndReserve = 0x3000;
  const releaseAll = 0x8000;
  const allocate = (bytes: number): Region => {
    const at = virtualAlloc(0, bytes, commitAndReserve, how.write);
    if (at === 0) throw noMemory(bytes, 'VirtualAlloc');
    return { at, release: () => void virtualFree(at, 0, releaseAll) };
  };
  return {
    ...copies(koffi, 'kernel32.dll', 'RtlMoveMemory'),
    allocate,
    protect: (at, bytes, use) => {
      if (virtualProtect(at, bytes, how[use], new Uint32Array(1)) === 0)
        throw new DeviceError('device/memory', 'VirtualProtect failed');
    },
    mapFiles(pieces, bytes, onPiece) {
      const range = allocate(bytes + afterFiles);
      return fill(fs, range, pieces, onPiece, (p, file) =>
        readInto(koffi, fs, file, p, range.at + p.offset),
      );
    },
  };
}

function readInto(koffi: Koffi, fs: Fs, file: number, piece: Piece, at: number): void {
  for (let done = 0; done < piece.bytes;) {
    const most = Math.min(readBytes, piece.bytes - done);
    const view = new Uint8Array(koffi.view(BigInt(at + done), most));
    const n = fs.readSync(file, view, 0, most, done);
    if (n === 0) throw new BundleError('bundle/file', `${piece.name} became shorter`);
    done += n;
  }
}
