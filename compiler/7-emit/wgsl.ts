/**
 * Program to WGSL: one module with an entry point for each kernel. Nothing of it needs more than any device
 * of WebGPU has, but for the language feature of the variant with packed products of bytes.
 */
import {
  type GridScalar,
  type GridSize,
  type WebGpuProgram,
  gpuSizes,
  gridOps,
  gridScalars,
} from '../../runtime/manifest.ts';
import { invariant } from '../base/invariant.ts';
import { bytesOf } from '../base/type.ts';
import { makeWriter } from '../base/writer.ts';
import type { Expr } from '../scalar/expr.ts';
import type { Kernel, Stmt } from '../5-kernel/kernel.ts';
import type { BoundProgram } from './wgsl-bindings.ts';
import { type Helper, helperName, helperText, needs, tableText } from './wgsl-helpers.ts';
import { type Helpers, blockLoops, emitKernel } from './wgsl-kernel.ts';

export interface WgslOptions {
  /** Sums of four products of bytes are instructions: a language feature. */
  readonly dot4: boolean;
}

export function emitWgsl(name: string, { kernels }: BoundProgram, { dot4 }: WgslOptions): string {
  const functions = new Map<string, string>();
  let packed = false;
  const helper = (h: Helper, lanes: number): string => {
    for (const n of needs(h, dot4)) helper(n, lanes);
    if (h === 's8s8' || h === 'u8s8' || h === 'i8i7') packed = dot4;
    const key = helperName(h, lanes);
    if (!functions.has(key)) functions.set(key, helperText(h, lanes, dot4));
    return key;
  };
  const tables = new Map<string, string>();
  const helpers: Helpers = {
    helper,
    table(entries, lanes) {
      const text = entries.join(' ');
      const table = tables.get(text) ?? `table_${tables.size}`;
      tables.set(text, table);
      for (const n of new Set([1, lanes])) {
        const key = n === 1 ? table : `${table}_x${n}`;
        if (!functions.has(key)) functions.set(key, tableText(table, entries, n));
      }
      return lanes === 1 ? table : `${table}_x${lanes}`;
    },
  };
  const texts = kernels.map((k) => emitKernel(k, helpers));
  const w = makeWriter();
  if (packed) w.line('requires packed_4x8_integer_dot_product;');
  w.line(`// ${name}: one step, a kernel after the other`);
  w.line('struct Sizes {');
  for (const s of gpuSizes) w.line(`  ${s}: ${s === 'infinity' ? 'u32' : 'i32'},`);
  w.line('}');
  w.line('@group(0) @binding(0) var<uniform> sizes: Sizes;');
  return [w.text(), ...[...functions.values()].map((f) => `${f}\n`), ...texts].join('\n');
}

/** Whether any kernel multiplies bytes: only then is there a variant of its own for it. */
export const multipliesBytes = ({ kernels }: BoundProgram): boolean =>
  kernels.some(({ kernel }) => JSON.stringify(kernel.body).includes('"op":"dot4"'));

/** Extents of a kernel's grid. */
export const gridOf = (kernel: Kernel): readonly GridSize[] =>
  blockLoops(kernel).map(({ to }) => gridSize(to));

/** What a host computes before a launch. */
function gridSize(e: Expr): GridSize {
  if (e.op === 'const') return e.value;
  if (e.op === 'var') {
    const scalar: GridScalar | undefined = gridScalars.find((s) => s === e.name);
    invariant(scalar !== undefined, () => `a grid of ${e.name}, which no host knows`);
    return scalar;
  }
  if (e.op === 'select') return ['select', gridSize(e.when), gridSize(e.a), gridSize(e.b)];
  const op = gridOps.find((o) => o === e.op);
  invariant(op !== undefined && 'b' in e && 'a' in e, () => `a grid by ${e.op}`);
  return [op, gridSize(e.a), gridSize(e.b)];
}

/** Bytes that threads of a workgroup share. */
export function sharedBytes(kernel: Kernel): number {
  const of = (stmts: readonly Stmt[]): number =>
    stmts.reduce((sum, s) => {
      if (s.kind === 'loop') return sum + of(s.body);
      if (s.kind === 'if') return sum + of(s.then) + of(s.otherwise);
      if (s.kind !== 'tile' || s.tile.space !== 'shared') return sum;
      return sum + s.tile.shape.reduce((a, b) => a * b, 1) * bytesOf[s.tile.dtype];
    }, 0);
  return of(kernel.body);
}

/** What the runtime is told of a bound program. */
export const gpuStep = ({
  kernels,
  body,
}: BoundProgram): Pick<WebGpuProgram, 'kernels' | 'body'> => ({
  kernels: kernels.map(({ kernel, entry, bindings }) => ({
    entry,
    grid: gridOf(kernel),
    bindings: bindings.map(({ kind, write }) => ({ kind, write })),
    workgroup: kernel.workgroup ?? 1,
    sharedBytes: sharedBytes(kernel),
  })),
  body,
});
