/** The static memory plan: weights, states and activations to offsets. */
import { bytesOf } from '../base/type.ts';
import { present } from '../base/invariant.ts';
import type { Buffer, Plan, PlanItem, PlannedWeight } from '../4-partition/plan.ts';
import { arraysOf } from '../5-kernel/state-rows.ts';
import { packedBytes } from '../5-kernel/packed.ts';
import type { Limits, MemoryPlan, StateSlot, WeightSlot } from './program.ts';

/** Alignment of everything that kernels address: a cache line. */
const line = 64;
export const align = (n: number): number => Math.ceil(n / line) * line;
/** Alignment of weights: where GPUs let a binding begin. */
const weightLine = 256;
const alignWeight = (n: number): number => Math.ceil(n / weightLine) * weightLine;

/** Counts of the plan's loops, by loop number. */
export function loopCounts(items: readonly PlanItem[]): ReadonlyMap<number, number> {
  return new Map(items.flatMap((i) => (i.kind === 'loop' ? [[i.loop, i.count] as const] : [])));
}

export interface Placed<T> {
  readonly slots: readonly T[];
  readonly bytes: number;
}

/** Weights of a loop lie iteration by iteration, so that one stride serves all of them. */
export function placeWeights(plan: Plan): Placed<WeightSlot> {
  const counts = loopCounts(plan.items);
  const weights = [...new Map([...plan.weights.values()].map((w) => [w.id, w])).values()];
  weights.sort((a, b) => a.id - b.id);
  const slots: WeightSlot[] = [];
  let offset = 0;
  for (const group of groupBy(weights, (w) => w.loop)) {
    const loop = group[0]?.loop;
    const count = loop === undefined ? 1 : present(counts.get(loop), 'count of a loop');
    const sizes = group.map((w) => alignWeight(packedBytes(w.shape, w.dtype, w.layout)));
    const stride = sizes.reduce((a, b) => a + b, 0);
    group.forEach((w, i) => {
      slots.push({ ...pick(w), offset, count, stride: count === 1 ? 0 : stride });
      offset += present(sizes[i]);
    });
    offset += stride * (count - 1);
  }
  return { slots, bytes: offset };
}

const pick = ({ name, source, dtype, shape, layout }: PlannedWeight) => ({
  name,
  source,
  dtype,
  shape,
  layout,
});

/** Consecutive groups, in the order of first appearance. */
function groupBy<T, K>(items: readonly T[], key: (item: T) => K): T[][] {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const group = groups.get(key(item)) ?? [];
    group.push(item);
    groups.set(key(item), group);
  }
  return [...groups.values()];
}

/** Per slot of the cache: every state of every iteration. */
export function placeStates(plan: Plan): Placed<StateSlot> {
  const slots: StateSlot[] = [];
  let offset = 0;
  const visit = (items: readonly PlanItem[], count: number): void => {
    const found = new Map<string, Omit<StateSlot, 'offset' | 'count' | 'stride'>>();
    for (const i of items) {
      if (i.kind === 'loop') continue;
      for (const v of i.region.writes) {
        const facts = plan.producers.get(v);
        if (facts?.lowered.kind !== 'append') continue;
        for (const { name, dtype, row } of arraysOf(plan, facts)) {
          const bytes = row.reduce((a, b) => a * b, 1) * bytesOf[dtype];
          found.set(name, { name, dtype, row, bytes });
        }
      }
    }
    const stride = [...found.values()].reduce((a, s) => a + s.bytes, 0);
    for (const s of found.values()) {
      slots.push({ ...s, offset, count, stride: count === 1 ? 0 : stride });
      offset += s.bytes;
    }
    offset += stride * (count - 1);
    for (const i of items) if (i.kind === 'loop') visit(i.items, i.count);
  };
  visit(plan.items, 1);
  return { slots, bytes: offset };
}

interface Touch {
  readonly launch: number;
  readonly loop: number | undefined;
  readonly writes: boolean;
}

export interface Arena {
  readonly offsets: ReadonlyMap<number, number>;
  readonly bytes: number;
  readonly buffers: MemoryPlan['buffers'];
}

/** Bytes of a buffer in the largest step. */
export function bufferBytes(b: Buffer, limits: Limits): number {
  const rows = typeof b.rows === 'number' ? b.rows : b.rows === 't' ? limits.tokens : limits.rows;
  return align(b.width * bytesOf[b.dtype] * rows);
}

/**
 * Buffers to offsets: two that live at the same time do not overlap. A buffer that a loop carries, or
 * shares with the outside, lives through the whole loop.
 */
export function placeBuffers(plan: Plan, limits: Limits): Arena {
  const touches = new Map<number, Touch[]>();
  const loops = new Map<number, { from: number; to: number }>();
  const byId = new Map([...plan.buffers.values()].map((b) => [b.id, b]));
  let launch = 0;
  const touch = (v: number, loop: number | undefined, writes: boolean): void => {
    const buffer = plan.buffers.get(v);
    if (!buffer) return;
    const list = touches.get(buffer.id) ?? [];
    list.push({ launch, loop, writes });
    touches.set(buffer.id, list);
  };
  const visit = (items: readonly PlanItem[], loop: number | undefined): void => {
    for (const i of items) {
      if (i.kind === 'loop') {
        const from = launch;
        visit(i.items, i.loop);
        loops.set(i.loop, { from, to: launch - 1 });
        continue;
      }
      i.region.reads.forEach((v) => touch(v, loop, false));
      i.region.writes.forEach((v) => touch(v, loop, true));
      launch++;
    }
  };
  visit(plan.items, undefined);

  const lives = [...touches].map(([id, list]) => {
    const buffer = present(byId.get(id));
    const result = plan.buffers.get(plan.result)?.id === id;
    return { buffer, ...interval(list, loops, result ? launch : undefined) };
  });
  const bytesFor = (b: Buffer): number => bufferBytes(b, limits);
  lives.sort((a, b) => bytesFor(b.buffer) - bytesFor(a.buffer) || a.from - b.from);
  const placed: { offset: number; bytes: number; from: number; to: number; buffer: Buffer }[] = [];
  for (const life of lives) {
    const bytes = bytesFor(life.buffer);
    const beside = placed
      .filter((p) => p.from <= life.to && life.from <= p.to)
      .sort((a, b) => a.offset - b.offset);
    let offset = 0;
    for (const p of beside) {
      if (offset + bytes <= p.offset) break;
      offset = Math.max(offset, p.offset + p.bytes);
    }
    placed.push({ ...life, offset, bytes });
  }
  return {
    offsets: new Map(placed.map((p) => [p.buffer.id, p.offset])),
    bytes: placed.reduce((most, p) => Math.max(most, p.offset + p.bytes), 0),
    buffers: placed
      .sort((a, b) => a.buffer.id - b.buffer.id)
      .map(({ buffer, offset, bytes, from, to }) => ({
        name: buffer.name,
        offset,
        bytes,
        from,
        to,
      })),
  };
}

function interval(
  touches: readonly Touch[],
  loops: ReadonlyMap<number, { readonly from: number; readonly to: number }>,
  until: number | undefined,
): { readonly from: number; readonly to: number } {
  let from = Math.min(...touches.map((t) => t.launch));
  let to = Math.max(...touches.map((t) => t.launch), until ?? 0);
  const inside = new Set(touches.map((t) => t.loop));
  for (const loop of inside) {
    if (loop === undefined) continue;
    const range = present(loops.get(loop));
    const own = touches.filter((t) => t.loop === loop);
    const firstWrite = Math.min(...own.filter((t) => t.writes).map((t) => t.launch));
    const firstRead = Math.min(...own.filter((t) => !t.writes).map((t) => t.launch));
    if (inside.size > 1 || firstRead <= firstWrite) {
      from = Math.min(from, range.from);
      to = Math.max(to, range.to);
    }
  }
  return { from, to };
}
