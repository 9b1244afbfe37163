/** What must hold of every program; what breaks it is a compiler bug. */
import { packedBytes } from '../5-kernel/packed.ts';
import { verifyKernel } from '../5-kernel/verify.ts';
import type { Argument, Item, Program } from './program.ts';

/** The program's faults and its kernels', in words; none for a good program. */
export function verifyProgram(program: Program): readonly string[] {
  const faults = program.kernels.flatMap((k) => verifyKernel(k));
  const { memory } = program;
  const checkArgument = (a: Argument, count: number, what: string): void => {
    if (a.kind === 'step') return;
    const last = a.offset + a.stride * (count - 1);
    const ends = {
      arena: memory.arenaBytes,
      weights: memory.weightBytes,
      state: memory.stateBytesPerSlot,
    };
    if (a.offset < 0 || last >= ends[a.kind]) {
      faults.push(`${what}: ${a.kind}+${last} is outside of ${ends[a.kind]} bytes`);
    }
  };
  const visit = (items: readonly Item[], count: number): void => {
    for (const item of items) {
      if (item.kind === 'loop') {
        if (count > 1) faults.push('a loop in a loop');
        visit(item.body, item.count);
      }
      if (item.kind !== 'launch') continue;
      const kernel = program.kernels[item.kernel];
      if (!kernel) {
        faults.push(`no kernel ${item.kernel}`);
        continue;
      }
      if (item.args.length !== kernel.params.length) {
        faults.push(
          `${kernel.name} takes ${kernel.params.length} arguments, not ${item.args.length}`,
        );
      }
      item.args.forEach((a) => checkArgument(a, count, kernel.name));
    }
  };
  visit(program.body, 1);
  memory.buffers.forEach((a, i) => {
    if (a.offset + a.bytes > memory.arenaBytes) faults.push(`${a.name} leaves the arena`);
    for (const b of memory.buffers.slice(i + 1)) {
      const together = a.from < b.to && b.from < a.to;
      const overlap = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
      if (together && overlap) faults.push(`${a.name} and ${b.name} live in one place at one time`);
    }
  });
  for (const w of program.weights) {
    const end = w.offset + (w.count - 1) * w.stride + packedBytes(w.shape, w.dtype, w.layout);
    if (end > memory.weightBytes) faults.push(`${w.name} leaves the weights`);
  }
  return faults;
}
