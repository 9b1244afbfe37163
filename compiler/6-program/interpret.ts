/** Runs a program's kernels in the kernel interpreter: one step, with every access checked. */
import { present, unreachable } from '../base/invariant.ts';
import { type KernelRun, interpretKernel } from '../5-kernel/interpret.ts';
import { type RaceLog } from '../5-kernel/races.ts';
import type { Argument, Item, Program } from './program.ts';

/** Where everything lies in one memory, in bytes; step arrays by name. */
export interface ProgramMemory {
  readonly memory: DataView;
  readonly arena: number;
  readonly weights: number;
  readonly state: number;
  readonly step: ReadonlyMap<string, { readonly address: number; readonly bytes: number }>;
  readonly slots: number;
}

export interface StepSizes {
  readonly t: number;
  readonly r: number;
  readonly blocks: number;
  readonly threads: number;
}

/** Throws Failure where a kernel leaves its bounds or threads race. */
export function interpretProgram(
  program: Program,
  m: ProgramMemory,
  sizes: StepSizes,
  races: RaceLog,
  observer?: KernelRun['observer'],
): void {
  const { threads, ...scalars } = sizes;
  const runAll = (items: readonly Item[], iteration: number): void => {
    for (const item of items) {
      switch (item.kind) {
        case 'barrier':
          races.barrier();
          break;
        case 'loop':
          for (let i = 0; i < item.count; i++) runAll(item.body, i);
          break;
        case 'launch': {
          const kernel = present(program.kernels[item.kernel]);
          const regions = item.args.map((a) => regionOf(program, m, a, iteration));
          const run: KernelRun = { memory: m.memory, regions, scalars, threads, races };
          interpretKernel(kernel, observer ? { ...run, observer } : run);
          break;
        }
        default:
          unreachable(item);
      }
    }
  };
  runAll(program.body, 0);
}

function regionOf(
  program: Program,
  m: ProgramMemory,
  a: Argument,
  iteration: number,
): { readonly address: number; readonly bytes: number } {
  const offset = a.kind === 'step' ? 0 : a.offset + a.stride * iteration;
  const { memory } = program;
  switch (a.kind) {
    case 'step':
      return present(m.step.get(a.field), a.field);
    case 'arena': {
      const buffer = memory.buffers.filter((b) => b.offset === a.offset);
      // Buffers that follow each other in time may begin at one place: the widest bounds hold.
      const bytes = Math.max(0, ...buffer.map((b) => b.bytes));
      return { address: m.arena + offset, bytes };
    }
    case 'weights':
      return { address: m.weights + offset, bytes: memory.weightBytes - offset };
    case 'state': {
      const slot = program.states.find((s) => s.offset === a.offset);
      return { address: m.state + offset * m.slots, bytes: present(slot).bytes * m.slots };
    }
    default:
      return unreachable(a);
  }
}
