/** What a kernel under construction has collected: its parameters, scratch and names. */
import { type DType, bytesOf } from '../base/type.ts';
import { invariant, present } from '../base/invariant.ts';
import type { StepField } from '../ops/op.ts';
import type { Stmt, Tile } from './kernel.ts';
import type { LoopStrategy } from './loops.ts';
import { simdLoops } from './simd-loops.ts';

/** What a launch passes for a parameter. */
export type Binding =
  | { readonly kind: 'buffer'; readonly buffer: number }
  | { readonly kind: 'weight'; readonly weight: number }
  | { readonly kind: 'state'; readonly state: string }
  | { readonly kind: 'step'; readonly field: StepField | 'keys' };

export interface Builder {
  /** The parameter for `binding`, made at first use; `hint` names it. */
  param(binding: Binding, dtype: DType, hint: string): string;
  /** A tile in the thread's own scratch; in a workgroup, one that its threads share. */
  scratch(hint: string, elements: number, dtype?: DType): string;
  /** The shared tile of this name and size, made at first use: for what all threads are done with in time. */
  reused(name: string, elements: number, dtype: DType): string;
  /** The parameter or tile of a name. */
  tile(name: string): Tile | undefined;
  /** The same bytes of scratch as elements of another type; shared tiles have one type only. */
  view(tile: string, dtype: DType): string;
  /** A table of numbers known here, for kernels of workgroups; equal ones are one. */
  constants(hint: string, values: readonly number[], dtype: DType): string;
  /** Whether a value of so many bytes may be held in a tile. */
  fits(bytes: number): boolean;
  /** How loops over the columns of a row run. */
  readonly loops: LoopStrategy;
  fresh(hint: string): string;
  readonly params: readonly Tile[];
  readonly bindings: readonly Binding[];
  /** Declarations of the tiles, to stand first in the kernel. */
  declarations(): readonly Stmt[];
  scratchBytes(): number;
  /** Bytes of the shared tiles. */
  sharedBytes(): number;
}

/** Packed weights are read as numbers of several types, each a parameter of its own. */
const keyOf = (b: Binding, dtype: DType): string => `${JSON.stringify(b)} ${dtype}`;
const align = 64;
/** Shared bytes that are left to reductions: partial results of threads, of two types. */
const reserve = 4096;

/** A workgroup whose threads share what else is a thread's scratch: how they do, and bytes for it. */
export interface Workgroup {
  readonly loops: LoopStrategy;
  readonly sharedBytes: number;
}

export function makeBuilder(workgroup?: Workgroup): Builder {
  const names = new Map<string, number>();
  const params: Tile[] = [];
  const bindings: Binding[] = [];
  const byKey = new Map<string, string>();
  const tables = new Map<string, string>();
  const again = new Map<string, string>();
  const tiles: Tile[] = [];
  let bytes = 0;

  function fresh(hint: string): string {
    const stem = hint.replace(/[^A-Za-z0-9_]/g, '_');
    const n = names.get(stem) ?? 0;
    names.set(stem, n + 1);
    return n === 0 ? stem : `${stem}_${n}`;
  }

  function scratch(hint: string, elements: number, dtype: DType = 'f32'): string {
    const name = fresh(hint);
    tiles.push({
      name,
      dtype,
      shape: [elements],
      layout: { strides: [1] },
      ...(workgroup
        ? { space: 'shared', owner: 'workgroup' }
        : { space: 'scratch', owner: 'thread', offset: bytes }),
    });
    bytes += Math.ceil((elements * bytesOf[dtype]) / align) * align;
    return name;
  }

  return {
    params,
    bindings,
    fresh,
    loops: workgroup?.loops ?? simdLoops,
    fits: (more) => workgroup === undefined || bytes + more <= workgroup.sharedBytes - reserve,
    constants(hint, values, dtype) {
      const had = tables.get(`${dtype} ${values.join(' ')}`);
      if (had !== undefined) return had;
      const name = fresh(hint);
      tables.set(`${dtype} ${values.join(' ')}`, name);
      const [shape, layout] = [[values.length], { strides: [1] }];
      tiles.push({ name, dtype, shape, layout, space: 'constant', owner: 'grid', values });
      return name;
    },
    param(binding, dtype, hint) {
      const had = byKey.get(keyOf(binding, dtype));
      if (had !== undefined) return had;
      const name = fresh(hint);
      byKey.set(keyOf(binding, dtype), name);
      bindings.push(binding);
      const fixed =
        workgroup !== undefined && (binding.kind === 'weight' || binding.kind === 'step');
      params.push({
        name,
        dtype,
        shape: [],
        layout: { strides: [1] },
        space: 'global',
        owner: 'grid',
        ...(fixed ? { fixed } : {}),
      });
      return name;
    },
    scratch,
    reused(name, elements, dtype) {
      const key = `${name} ${elements}`;
      const tile = again.get(key) ?? scratch(name, elements, dtype);
      again.set(key, tile);
      return tile;
    },
    tile: (name) => [...params, ...tiles].find((t) => t.name === name),
    view(tile, dtype) {
      invariant(!workgroup, 'shared tiles have one type');
      const of = present(
        tiles.find((t) => t.name === tile),
        tile,
      );
      const name = fresh(`${tile}_${dtype}`);
      const [elements = 0] = of.shape;
      tiles.push({
        ...of,
        name,
        dtype,
        shape: [Math.floor((elements * bytesOf[of.dtype]) / bytesOf[dtype])],
      });
      return name;
    },
    declarations: () => tiles.map((tile): Stmt => ({ kind: 'tile', tile })),
    scratchBytes: () => (workgroup ? 0 : bytes),
    sharedBytes: () => (workgroup ? bytes : 0),
  };
}

/** Bindings and parameters stay in step: parameter i is bound to binding i. */
export const bindingOf = (b: Builder, i: number): Binding => present(b.bindings[i], 'binding');
