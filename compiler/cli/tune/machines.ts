/** Which of a compile's targets run on this machine, and their machines with what was found here. */
import { createRequire } from 'node:module';
import type { Plan } from '../../4-partition/plan.ts';
import { type Core, armCore, avx2Core, avx512Core, wasmCore } from '../../5-kernel/core.ts';
import type { LlvmVariant } from '../../7-emit/llvm.ts';
import { type NativeTools, nativeVariants } from '../../7-emit/native.ts';
import { type BundleTarget, type Machines, plainMachines } from '../../compile.ts';
import { loadKoffi } from '../../../runtime/native/koffi.ts';
import { readMachine } from '../../../runtime/native/machine.ts';
import { importNode } from '../../../runtime/native/node.ts';
import { sizesOf } from '../../../runtime/open.ts';
import { cacheFile, cpuName, openCache } from './cache.ts';
import { type TuneOptions, type TuneTarget, type TunedShape, schedulesIn, tune } from './tune.ts';

const cores: Readonly<Record<LlvmVariant['isa'], Core>> = {
  avx512: avx512Core,
  avx2: avx2Core,
  arm64: armCore,
};

export interface TuneRequest extends Pick<TuneOptions, 'compiler' | 'most' | 'signal'> {
  readonly plan: Plan;
  readonly targets: readonly BundleTarget[];
  /** What makes native code, and the machines that it is made for; all unless given. */
  readonly native?: NativeTools;
  readonly variants?: readonly LlvmVariant[];
  readonly onStep?: (what: string) => void;
  readonly onProgress?: (done: number, total: number) => void;
  readonly onNote: (note: string) => void;
}

export interface TunedMachines {
  readonly machines: Machines;
  readonly tuned: readonly TunedShape[];
  /** Where it is kept. */
  readonly cache: string;
}

/**
 * Measures, or takes from the cache, what each target runs best with on this machine; other instruction
 * sets keep their schedules. Throws DeviceError `device/koffi` where native code cannot be called here.
 */
export async function tuneMachines(request: TuneRequest): Promise<TunedMachines> {
  const { plan, targets, onNote, onStep, onProgress, compiler, most, signal } = request;
  const cache = await openCache(cacheFile());
  if (cache.trouble !== undefined) onNote(`note: ${cache.trouble}`);
  const { threads } = sizesOf(undefined, {});
  let machines = plainMachines;
  const tuned: TunedShape[] = [];
  for (const [i, target] of targets.entries()) {
    const found = await targetOf(target, request, threads);
    if (!found) {
      onNote(
        'note: native code is made for none that this machine runs; its schedules are not tuned',
      );
      continue;
    }
    const shapes = await tune(plan, found.tune, {
      cache,
      cpu: cpuName(),
      compiler,
      threads,
      most,
      signal,
      onNote,
      ...(onStep ? { onStep } : {}),
      onProgress: (done, total) => onProgress?.(i * total + done, targets.length * total),
    });
    tuned.push(...shapes);
    const schedules = schedulesIn(shapes, found.tune.machine);
    if (schedules.size > 0) {
      machines = { ...machines, [found.name]: { ...found.tune.machine, schedules } };
    }
  }
  return { machines, tuned, cache: cache.file };
}

interface FoundTarget {
  readonly name: keyof Machines;
  readonly tune: TuneTarget;
}

/** The code of a target that this machine runs; undefined where it runs none. */
async function targetOf(
  target: BundleTarget,
  { native: tools, variants = nativeVariants }: TuneRequest,
  threads: number,
): Promise<FoundTarget | undefined> {
  switch (target) {
    case 'wasm': {
      const probe = { kind: 'wasm', threads: threads > 1 } as const;
      const isa = `V8 ${process.versions.v8} on ${process.arch}`;
      return { name: 'wasm', tune: { machine: plainMachines.wasm, core: wasmCore, isa, probe } };
    }
    case 'native': {
      const node = await importNode();
      const { os, isas } = readMachine(loadKoffi(createRequire(import.meta.url)).koffi, node);
      const variant = variants.find((v) => v.os === os && isas.includes(v.isa));
      if (!variant || !tools) return undefined;
      const { isa } = variant;
      const probe = { kind: 'native', variant, tools } as const;
      return { name: isa, tune: { machine: plainMachines[isa], core: cores[isa], isa, probe } };
    }
  }
}
