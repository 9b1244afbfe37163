/** A page for a few instructions: writable first, then executable, never both. */
import type { Koffi } from './koffi.ts';
import type { NodeModules } from './node.ts';
import { openSystem } from './system.ts';

export interface CodePage {
  /** Runs x64 code that takes nothing and returns 32 bits in eax. */
  run(code: readonly number[]): number;
  release(): void;
}

const bytes = 4096;

export function codePage(koffi: Koffi, node: NodeModules): CodePage {
  const system = openSystem(koffi, node);
  const { at, release } = system.allocate(bytes);
  const view = new Uint8Array(koffi.view(BigInt(at), bytes));
  return {
    run(code) {
      system.protect(at, bytes, 'write');
      view.set(code);
      system.protect(at, bytes, 'execute');
      const f: () => number = koffi.decode(BigInt(at), koffi.proto('uint32_t', []));
      return f();
    },
    release,
  };
}
