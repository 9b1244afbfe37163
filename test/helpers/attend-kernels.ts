/** Kernels of attention by themselves, in workgroups, over caches of many keys that nothing had to compute. */
import { halfOf, halfToFloat } from '../../compiler/base/half.ts';
import { present } from '../../compiler/base/invariant.ts';
import { bytesOf } from '../../compiler/base/type.ts';
import { compileProgram } from '../../compiler/compile.ts';
import type { SheetSource } from '../../compiler/index.ts';
import type { Plan, PlanItem, Region as PlanRegion } from '../../compiler/4-partition/plan.ts';
import { type Binding, makeBuilder } from '../../compiler/5-kernel/builder.ts';
import type { LoweredRegion } from '../../compiler/5-kernel/context.ts';
import { lowerRegion } from '../../compiler/5-kernel/lower.ts';
import { simtMachine } from '../../compiler/5-kernel/machine.ts';
import { makeRaceLog } from '../../compiler/5-kernel/races.ts';
import { type Counts, makeCounts } from '../../compiler/5-kernel/simt/counts.ts';
import {
  type StateTile,
  arraysOf,
  blockEntries,
  stateTile,
} from '../../compiler/5-kernel/state-rows.ts';
import { verifyKernel } from '../../compiler/5-kernel/verify.ts';
import { type ProgramMemory, type StepSizes, interpretProgram } from '../../compiler/6-program/interpret.ts'; // prettier-ignore
import type { Argument, Item, Program, StateSlot } from '../../compiler/6-program/program.ts';
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

/** Attention of a step's tokens as a program over memory that holds what they need, and else ones. */
interface Step {
  readonly program: Program;
  readonly memory: ProgramMemory;
  readonly sizes: StepSizes;
  /** The result of each token, once the program has run. */
  rows(): Float32Array[];
}

const aligned = (n: number): number => Math.ceil(n / 256) * 256;

/** `lengths`: entries of each sequence. */
export function attendStep(
  { plan, kernels, sizes }: AttendKernels,
  lengths: readonly number[],
  tokens: readonly Token[],
): Step {
  const { heads, kv, head } = sizes;
  const { table, count } = pagesOf(lengths);
  const slots = count * blockEntries;
  const blocks = Math.max(...table.map((p) => p.length)) + 1;
  const facts = present([...plan.producers.values()].find((f) => f.lowered.kind === 'attend'));
  const [q = -1, k = -1, v = -1] = facts.node.inputs;
  const caches = [k, v].map((x) => present(plan.producers.get(x)));
  let end = 0;
  const placed = <T extends { readonly bytes: number }>(x: T): T & { readonly offset: number } => {
    const offset = end;
    end = aligned(end + x.bytes);
    return { ...x, offset };
  };
  const used = new Set(kernels.flatMap((x) => x.bindings.flatMap((b) => (b.kind === 'buffer' ? [b.buffer] : [])))); // prettier-ignore
  const buffers = [...new Map([...plan.buffers.values()].map((b) => [b.id, b])).values()]
    .filter((b) => used.has(b.id))
    .map(({ id, name, rows, width }) => {
      const bytes = 4 * width * (typeof rows === 'number' ? rows : tokens.length);
      return placed({ id, name, bytes, from: 0, to: 0 });
    });
  const arenaBytes = end;
  let perSlot = 0;
  const states = caches.flatMap((c) =>
    arraysOf(plan, c).map(({ name, dtype, row }): StateSlot => {
      const bytes = bytesOf[dtype] * row.reduce((a, b) => a * b, 1);
      perSlot += bytes;
      return { name, dtype, row, bytes, offset: perSlot - bytes, count: 1, stride: 0 };
    }),
  );
  const state = placed({ bytes: perSlot * slots }).offset;
  const fields = ['position', 'sequence', 'length', 'table', 'keys'] as const;
  const wordsOf = (field: (typeof fields)[number]): number =>
    field === 'table' ? blocks * lengths.length : field === 'keys' ? slots : tokens.length;
  const step = new Map(
    fields.map((f) => {
      const { offset, bytes } = placed({ bytes: 4 * wordsOf(f) });
      return [f as string, { address: offset, bytes }];
    }),
  );
  const memory = new DataView(new Uint8Array(end).fill(255).buffer);
  fill();
  const out = present(plan.buffers.get(present(facts.node.results[0])));
  const bufferAt = (id: number): number => present(buffers.find((b) => b.id === id)).offset;
  const argumentOf = (b: Binding): Argument => {
    switch (b.kind) {
      case 'buffer':
        return { kind: 'arena', offset: bufferAt(b.buffer), stride: 0 };
      case 'state':
        return { kind: 'state', offset: present(states.find((s) => s.name === b.state)).offset, stride: 0 }; // prettier-ignore
      case 'step':
        return { kind: 'step', field: b.field };
      case 'weight':
        throw new Error('attention that reads weights');
    }
  };
  const program: Program = {
    name: 'attention',
    limits: { tokens: tokens.length, rows: tokens.length },
    kernels: kernels.map((x) => x.kernel),
    body: kernels.flatMap((x, n): Item[] => [
      { kind: 'launch', kernel: n, args: x.bindings.map(argumentOf) },
      { kind: 'barrier' },
    ]),
    memory: { arenaBytes, scratchBytes: 0, weightBytes: 0, stateBytesPerSlot: perSlot, buffers },
    weights: [],
    states,
    output: { offset: bufferAt(out.id), width: heads * head, rowBytes: 4 * heads * head },
  };
  return {
    program,
    memory: { memory, arena: 0, weights: end, state, step, slots },
    sizes: { t: tokens.length, r: tokens.length, blocks, threads: 1 },
    rows: () =>
      tokens.map((_, t) => {
        const from = bufferAt(out.id) + 4 * t * heads * head;
        return new Float32Array(memory.buffer.slice(from, from + 4 * heads * head));
      }),
  };

  function fill(): void {
    const queries = present(buffers.find((b) => b.id === plan.buffers.get(q)?.id)).offset;
    tokens.forEach(({ sequence, length }, t) => {
      for (let h = 0; h < heads; h++)
        rowOf('q', h, head, sequence, length - 1).forEach((x, i) =>
          memory.setFloat32(queries + 4 * ((t * heads + h) * head + i), x, true),
        );
    });
    const put = (field: (typeof fields)[number], i: number, x: number): void =>
      memory.setInt32(present(step.get(field)).address + 4 * i, x, true);
    tokens.forEach(({ sequence, length }, t) => {
      put('position', t, length - 1);
      put('sequence', t, sequence);
      put('length', t, length);
    });
    table.forEach((pages, s) => pages.forEach((p, n) => put('table', s * blocks + n, p)));
    caches.forEach((append, n) => {
      const tile = stateTile(makeBuilder(), plan, append);
      const name = present(append.node.state).name;
      const placeOf = (of: string): number =>
        state + present(states.find((x) => x.name === of)).offset * slots;
      table.forEach((pages, s) => {
        for (let e = 0; e < (lengths[s] ?? 0); e++) {
          const page = present(pages[Math.floor(e / blockEntries)]);
          const inPage = e % blockEntries;
          put('keys', page * blockEntries + inPage, e);
          for (let g = 0; g < kv; g++) {
            const { codes, scale } = kept(tile, rowOf(n === 0 ? 'keys' : 'values', g, head, s, e));
            const start = (page * kv + g) * blockEntries * head + inPage * tile.perSlot;
            codes.forEach((x, i) => {
              const at = placeOf(name) + bytesOf[tile.dtype] * (start + i * tile.perElement);
              if (tile.dtype === 'f32') memory.setFloat32(at, x, true);
              else if (tile.dtype === 'f16') memory.setUint16(at, x, true);
              else memory.setInt8(at, x);
            });
            if (!tile.codes) continue;
            const at = placeOf(`${name}.scales`) + 4 * ((page * kv + g) * blockEntries + inPage);
            memory.setFloat32(at, scale, true);
          }
        }
      });
    });
  }
}

/** Runs it in the kernels' interpreter. */
export function runAttend(
  k: AttendKernels,
  lengths: readonly number[],
  tokens: readonly Token[],
  counted = false,
): Ran {
  const { program, memory, sizes, rows } = attendStep(k, lengths, tokens);
  const counts = makeCounts(memory.memory.byteLength);
  interpretProgram(program, memory, sizes, makeRaceLog(memory.memory.byteLength), counted ? counts : undefined); // prettier-ignore
  return { rows: rows(), counts };
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
