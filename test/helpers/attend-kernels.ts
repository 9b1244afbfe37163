/** Kernels of attention by themselves, in workgroups, over caches of many keys that nothing had to compute. */
import { halfOf, halfToFloat } from '../../compiler/base/half.ts';
import { present } from '../../compiler/base/invariant.ts';
import { bytesOf } from '../../compiler/base/type.ts';
import { compileProgram } from '../../compiler/compile.ts';
import type { SheetSource } from '../../compiler/index.ts';
import type { Plan, PlanItem, Region as PlanRegion } from '../../compiler/4-partition/plan.ts';
import { type Binding, makeBuilder } from '../../compiler/5-kernel/builder.ts';
import type { LoweredRegion } from '../../compiler/5-kernel/context.ts';
import { interpretKernel } from '../../compiler/5-kernel/interpret.ts';
import { lowerRegion } from '../../compiler/5-kernel/lower.ts';
import { simtMachine } from '../../compiler/5-kernel/machine.ts';
import { makeRaceLog } from '../../compiler/5-kernel/races.ts';
import { type Counts, makeCounts } from '../../compiler/5-kernel/simt/counts.ts';
import { type StateTile, blockEntries, stateTile } from '../../compiler/5-kernel/state-rows.ts';
import { verifyKernel } from '../../compiler/5-kernel/verify.ts';
import { type Case, type Sizes, build } from './attention.ts';

/** A token of a step: its sequence, and how many entries it sees, itself the last. */
export interface Token {
  readonly sequence: number;
  readonly length: number;
}

export interface AttendKernels {
  readonly plan: Plan;
  readonly kernels: readonly LoweredRegion[];
  readonly sizes: Sizes;
}

export function attendKernels(
  c: Case,
  sizes: Sizes,
  sheets: readonly SheetSource[] = [],
): AttendKernels {
  const { plan } = compileProgram(build(c, sizes, sheets).bound, undefined);
  const regions = (items: readonly PlanItem[]): PlanRegion[] =>
    items.flatMap((i) => (i.kind === 'loop' ? regions(i.items) : [i.region]));
  const kernels = regions(plan.items)
    .filter((r) => r.kind === 'attend' || r.kind === 'merge')
    .map((r) => lowerRegion(plan, r, simtMachine));
  const faults = kernels.flatMap((k) => verifyKernel(k.kernel));
  if (faults.length > 0) throw new Error(faults.join('\n'));
  return { plan, kernels, sizes };
}

/** A number from -1 to 1 that hangs on its place alone. */
export function drawn(...place: readonly number[]): number {
  let state = 0x9e3779b9;
  for (const n of place) {
    state = Math.imul(state ^ n, 0x85ebca6b);
    state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
    state ^= state >>> 16;
  }
  return Math.fround((state >>> 0) / 2 ** 31 - 1);
}

const what = { q: 1, keys: 2, values: 3 } as const;
const rowOf = (of: keyof typeof what, head: number, width: number, ...place: number[]): number[] =>
  Array.from({ length: width }, (_, i) => drawn(what[of], head, i, ...place));

/** What a cache keeps of a row: as it is, rounded, or as codes. */
function kept(
  tile: Pick<StateTile, 'dtype' | 'codes'>,
  row: readonly number[],
): { codes: number[]; scale: number } {
  if (tile.dtype === 'f16') return { codes: row.map(halfOf), scale: 1 };
  if (!tile.codes) return { codes: [...row], scale: 1 };
  const scale = Math.fround(Math.max(...row.map(Math.abs)) / tile.codes.largest);
  const even = (x: number): number => 2 * Math.round(x / 2);
  const whole = (x: number): number => (Math.abs(x % 1) === 0.5 ? even(x) : Math.round(x));
  return { codes: row.map((x) => whole(Math.fround(x / scale))), scale };
}
const valueOf = (tile: Pick<StateTile, 'dtype'>, code: number, scale: number): number =>
  tile.dtype === 'f16' ? halfToFloat(code) : code * scale;

/** Pages of each sequence in no order, with as many between them that are nobody's. */
function pagesOf(lengths: readonly number[]): { table: number[][]; count: number } {
  const counts = lengths.map((n) => Math.ceil(n / blockEntries));
  const count = 2 * counts.reduce((a, b) => a + b, 0);
  const free = Array.from({ length: count }, (_, p) => p).sort((a, b) => drawn(a) - drawn(b));
  return { table: counts.map((n) => free.splice(0, n)), count };
}

export interface Ran {
  readonly rows: readonly Float32Array[];
  readonly counts: Counts;
}

/** The results of a step's tokens; `lengths`: entries of each sequence. Nothing but what they need is set. */
export function runAttend(
  { plan, kernels, sizes }: AttendKernels,
  lengths: readonly number[],
  tokens: readonly Token[],
  counted = false,
): Ran {
  const { heads, kv, head } = sizes;
  const { table, count } = pagesOf(lengths);
  const slots = count * blockEntries;
  const blocks = Math.max(...table.map((p) => p.length)) + 1;
  const places = new Map<string, { address: number; bytes: number }>();
  let size = 0;
  const bytesFor = (b: Binding): number => {
    switch (b.kind) {
      case 'buffer': {
        const buffer = present([...plan.buffers.values()].find((x) => x.id === b.buffer));
        const rows = typeof buffer.rows === 'number' ? buffer.rows : tokens.length;
        return 4 * rows * buffer.width;
      }
      case 'state': {
        const [rows, scales] = [4 * slots * kv * head, 4 * slots * kv];
        return b.state.endsWith('.scales') ? scales : rows;
      }
      case 'step':
        return 4 * (b.field === 'table' ? blocks * lengths.length : b.field === 'keys' ? slots : tokens.length); // prettier-ignore
      case 'weight':
        return 4 * heads;
    }
  };
  const place = (b: Binding): { address: number; bytes: number } => {
    const key = JSON.stringify(b);
    const had = places.get(key);
    if (had) return had;
    const made = { address: size, bytes: bytesFor(b) };
    size += Math.ceil(made.bytes / 64) * 64;
    places.set(key, made);
    return made;
  };
  const regions = kernels.map((k) => k.bindings.map(place));
  const bytes = new Uint8Array(size).fill(255);
  const memory = new DataView(bytes.buffer);
  fill();
  const counts = makeCounts(size);
  const races = makeRaceLog(size);
  kernels.forEach(({ kernel }, n) => {
    const scalars = { t: tokens.length, r: tokens.length, blocks };
    const run = { memory, regions: present(regions[n]), scalars, threads: 1, races };
    interpretKernel(kernel, counted ? { ...run, observer: counts } : run); // prettier-ignore
    races.barrier();
  });
  const [facts] = attends();
  const out = present(plan.buffers.get(present(facts?.node.results[0])));
  const at = place({ kind: 'buffer', buffer: out.id }).address;
  const rows = tokens.map((_, t) => {
    const from = at + 4 * t * heads * head;
    return new Float32Array(bytes.slice(from, from + 4 * heads * head).buffer);
  });
  return { rows, counts };

  function attends() {
    return [...new Set(plan.producers.values())].filter((f) => f.lowered.kind === 'attend');
  }

  function fill(): void {
    const [facts] = attends();
    const [q = -1, k = -1, v = -1] = present(facts).node.inputs;
    const { id } = present(plan.buffers.get(q));
    const queries = place({ kind: 'buffer', buffer: id }).address;
    tokens.forEach(({ sequence, length }, t) => {
      for (let h = 0; h < heads; h++)
        rowOf('q', h, head, sequence, length - 1).forEach((x, i) =>
          memory.setFloat32(queries + 4 * ((t * heads + h) * head + i), x, true),
        );
    });
    const put = (
      field: 'position' | 'sequence' | 'length' | 'table' | 'keys',
      i: number,
      x: number,
    ): void =>
      // prettier-ignore
      memory.setInt32(place({ kind: 'step', field }).address + 4 * i, x, true);
    tokens.forEach(({ sequence, length }, t) => {
      put('position', t, length - 1);
      put('sequence', t, sequence);
      put('length', t, length);
    });
    table.forEach((pages, s) => pages.forEach((p, n) => put('table', s * blocks + n, p)));
    for (const [of, value] of [
      ['keys', k],
      ['values', v],
    ] as const) {
      // prettier-ignore
      const append = present(plan.producers.get(value));
      const tile = stateTile(makeBuilder(), plan, append);
      const name = present(append.node.state).name;
      const state = place({ kind: 'state', state: name }).address;
      table.forEach((pages, s) => {
        for (let e = 0; e < (lengths[s] ?? 0); e++) {
          const page = present(pages[Math.floor(e / blockEntries)]);
          const inPage = e % blockEntries;
          put('keys', page * blockEntries + inPage, e);
          for (let g = 0; g < kv; g++) {
            const { codes, scale } = kept(tile, rowOf(of, g, head, s, e));
            const start = (page * kv + g) * blockEntries * head + inPage * tile.perSlot;
            codes.forEach((x, i) => {
              const at = state + bytesOf[tile.dtype] * (start + i * tile.perElement);
              if (tile.dtype === 'f32') memory.setFloat32(at, x, true);
              else if (tile.dtype === 'f16') memory.setUint16(at, x, true);
              else memory.setInt8(at, x);
            });
            if (!tile.codes) continue;
            const scales = place({ kind: 'state', state: `${name}.scales` }).address;
            memory.setFloat32(scales + 4 * ((page * kv + g) * blockEntries + inPage), scale, true);
          }
        }
      });
    }
  }
}

/** What weighs the values for a query at i of head h: from the scaled products with the keys it sees. */
export type Weigh = (products: readonly number[], i: number, h: number) => readonly number[];

/** The result of a token in double precision, over what the cache keeps. */
export function attendedTo(
  { plan, sizes }: AttendKernels,
  { sequence, length }: Token,
  weigh: Weigh,
): Float64Array {
  // prettier-ignore
  const { heads, kv, head } = sizes;
  const facts = present([...plan.producers.values()].find((f) => f.lowered.kind === 'attend'));
  const [, k = -1, v = -1] = facts.node.inputs;
  const rows = (of: 'keys' | 'values', value: number, g: number): number[][] => {
    const tile = stateTile(makeBuilder(), plan, present(plan.producers.get(value)));
    return Array.from({ length }, (_, e) => {
      const { codes, scale } = kept(tile, rowOf(of, g, head, sequence, e));
      return codes.map((c) => valueOf(tile, c, scale));
    });
  };
  const out = new Float64Array(heads * head);
  for (let g = 0; g < kv; g++) {
    const [keys, values] = [rows('keys', k, g), rows('values', v, g)];
    for (let n = 0; n < heads / kv; n++) {
      const h = g * (heads / kv) + n;
      const q = rowOf('q', h, head, sequence, length - 1);
      const products = keys.map((key) => key.reduce((s, x, i) => s + x * (q[i] ?? 0), 0) / Math.sqrt(head)); // prettier-ignore
      weigh(products, length - 1, h).forEach((p, e) =>
        values[e]?.forEach((x, i) => (out[h * head + i] = (out[h * head + i] ?? 0) + p * x)),
      );
    }
  }
  return out;
}
