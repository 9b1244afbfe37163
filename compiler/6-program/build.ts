/** Plan to program: kernels, launches with their arguments, barriers where data asks for them. */
import { invariant, present } from '../base/invariant.ts';
import { bytesOf } from '../base/type.ts';
import type { ValueId } from '../3-graph/graph.ts';
import type { Plan, PlanItem, Region } from '../4-partition/plan.ts';
import type { Binding } from '../5-kernel/builder.ts';
import type { Kernel } from '../5-kernel/kernel.ts';
import { lowerRegion } from '../5-kernel/lower.ts';
import type { Machine } from '../5-kernel/machine.ts';
import { align, bufferBytes, placeBuffers, placeStates, placeWeights } from './memory.ts';
import type { Argument, Item, Limits, Program } from './program.ts';

export function buildProgram(plan: Plan, limits: Limits, machine: Machine): Program {
  const weights = placeWeights(plan);
  const states = placeStates(plan);
  const arena = placeBuffers(plan, limits);
  const weightById = new Map(
    [...new Set([...plan.weights.values()].map((w) => w.id))]
      .sort((a, b) => a - b)
      .map((id) => [id, present(slotOf(id))]),
  );
  const stateByName = new Map(states.slots.map((s) => [s.name, s]));
  const kernels: Kernel[] = [];
  const kernelByText = new Map<string, number>();
  const names = new Map<string, number>();
  const pending = new Hazards();
  const body = itemsOf(plan.items);
  const output = present(plan.buffers.get(plan.result), 'the result in memory');
  return {
    name: plan.name,
    limits,
    kernels,
    body,
    memory: {
      arenaBytes: arena.bytes,
      scratchBytes: align(Math.max(0, ...kernels.map((k) => k.scratchBytes))),
      weightBytes: weights.bytes,
      stateBytesPerSlot: states.bytes,
      buffers: arena.buffers,
    },
    weights: weights.slots,
    states: states.slots,
    output: {
      offset: present(arena.offsets.get(output.id)),
      width: output.width,
      rowBytes: output.width * bytesOf[output.dtype],
    },
  };

  function slotOf(id: number) {
    const weight = [...plan.weights.values()].find((w) => w.id === id);
    return weights.slots.find((s) => s.name === weight?.name);
  }

  function itemsOf(items: readonly PlanItem[]): Item[] {
    return items.flatMap((i): Item[] => {
      if (i.kind === 'region') return launch(i.region);
      const before = pending.clear();
      const inner = itemsOf(i.items);
      // The next iteration reads what the last launches wrote.
      if (pending.clear()) inner.push({ kind: 'barrier' });
      return [
        ...(before ? [{ kind: 'barrier' } as const] : []),
        { kind: 'loop', count: i.count, body: inner },
      ];
    });
  }

  function launch(region: Region): Item[] {
    const { kernel, bindings } = lowerRegion(plan, region, machine);
    const args = bindings.map(argument);
    const barrier = pending.add(region.reads.map(placeOf), region.writes.map(placeOf));
    const item: Item = { kind: 'launch', kernel: kernelIndex(kernel), args };
    return barrier ? [{ kind: 'barrier' }, item] : [item];
  }

  /** Structurally equal kernels are one. */
  function kernelIndex(kernel: Kernel): number {
    const text = JSON.stringify(kernel);
    const had = kernelByText.get(text);
    if (had !== undefined) return had;
    const n = names.get(kernel.name) ?? 0;
    names.set(kernel.name, n + 1);
    kernels.push(n === 0 ? kernel : { ...kernel, name: `${kernel.name}_${n}` });
    kernelByText.set(text, kernels.length - 1);
    return kernels.length - 1;
  }

  function argument(b: Binding): Argument {
    switch (b.kind) {
      case 'buffer':
        return { kind: 'arena', offset: present(arena.offsets.get(b.buffer), 'buffer'), stride: 0 };
      case 'weight': {
        const slot = present(weightById.get(b.weight), 'weight');
        return { kind: 'weights', offset: slot.offset, stride: slot.stride };
      }
      case 'state': {
        const slot = present(stateByName.get(b.state), `state ${b.state}`);
        return { kind: 'state', offset: slot.offset, stride: slot.stride };
      }
      case 'step':
        return { kind: 'step', field: b.field };
    }
  }

  /** Where a value lies, as a range of the arena or the name of a state. */
  function placeOf(v: ValueId): Place {
    const buffer = plan.buffers.get(v);
    if (!buffer) {
      const state = plan.producers.get(v)?.node.state;
      invariant(state !== undefined, () => `%${v} is neither in memory nor a state`);
      return { space: state.name, from: 0, to: 1 };
    }
    const from = present(arena.offsets.get(buffer.id));
    return { space: 'arena', from, to: from + bufferBytes(buffer, limits) };
  }
}

interface Place {
  readonly space: string;
  readonly from: number;
  readonly to: number;
}

/** Accesses since the last barrier. */
class Hazards {
  #reads: Place[] = [];
  #writes: Place[] = [];

  /** True if accesses were pending. */
  clear(): boolean {
    const any = this.#reads.length + this.#writes.length > 0;
    this.#reads = [];
    this.#writes = [];
    return any;
  }

  /** Notes a launch's accesses; true if a barrier must stand before it. */
  add(reads: readonly Place[], writes: readonly Place[]): boolean {
    const conflict =
      reads.some((r) => meets(r, this.#writes)) ||
      writes.some((w) => meets(w, this.#writes) || meets(w, this.#reads));
    if (conflict) this.clear();
    this.#reads.push(...reads);
    this.#writes.push(...writes);
    return conflict;
  }
}

const meets = (a: Place, others: readonly Place[]): boolean =>
  others.some((b) => a.space === b.space && a.from < b.to && b.from < a.to);
