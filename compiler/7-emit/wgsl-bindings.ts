/**
 * What the kernels of a program are bound to on WebGPU. The arena is one binding and the arrays of the step
 * are another; weights that lie near each other share one, as there are few (eight storage buffers on any
 * device). What the launches of a kernel have in different places is an `override` of its entry point.
 */
import type { GpuItem, GpuRange } from '../../runtime/manifest.ts';
import { invariant, present } from '../base/invariant.ts';
import { packedBytes } from '../5-kernel/packed.ts';
import type { Kernel } from '../5-kernel/kernel.ts';
import type { Argument, Item, Program } from '../6-program/program.ts';
import { type ParamUse, usesOf } from './wgsl-uses.ts';
import { wgslName } from './wgsl-names.ts';

/** The largest binding that every device has; a multiple of what offsets are aligned to. */
export const bindingBytes = 2 ** 27;
/** Offsets of bindings into a buffer are multiples of it. */
export const bindingAlign = 256;
/** Places in a binding are counted in units of so many bytes. */
export const unitBytes = 16;

export interface GpuBinding {
  readonly name: string;
  readonly kind: 'arena' | 'step' | 'weights' | 'state';
  readonly write: boolean;
  /** How the array is declared: words, vectors of four of them, or words that are changed by atomics. */
  readonly elements: 'word' | 'vec4' | 'atomic';
}

/** Where a parameter begins. */
export type ParamBase =
  | { readonly kind: 'units'; readonly units: number }
  | { readonly kind: 'override'; readonly name: string }
  | { readonly kind: 'field'; readonly field: string };

/** Where a parameter lies: in one binding, or in several of `partBytes` each that follow each other. */
export interface ParamPlace {
  readonly bindings: readonly GpuBinding[];
  readonly base: ParamBase;
  readonly partBytes: number;
}

export interface BoundKernel {
  readonly kernel: Kernel;
  readonly entry: string;
  /** Stands before names of the module that belong to the kernel. */
  readonly prefix: string;
  readonly bindings: readonly GpuBinding[];
  readonly params: ReadonlyMap<string, ParamPlace>;
  readonly overrides: readonly string[];
  /** For each launch of the kernel, in order: what is bound, and the overrides' values. */
  readonly launches: readonly BoundLaunch[];
}

export interface BoundLaunch {
  readonly ranges: readonly GpuRange[];
  readonly constants: Readonly<Record<string, number>>;
}

export interface BoundProgram {
  readonly kernels: readonly BoundKernel[];
  readonly body: readonly GpuItem[];
}

type Launch = Extract<Item, { kind: 'launch' }>;

/** `most`: bytes of the largest binding. */
export function bindProgram(program: Program, most = bindingBytes): BoundProgram {
  const launches = (items: readonly Item[]): readonly Launch[] =>
    items.flatMap((i) => {
      if (i.kind === 'launch') return [i];
      return i.kind === 'loop' ? launches(i.body) : [];
    });
  const all = launches(program.body);
  const kernels = program.kernels.map((kernel, i) =>
    bindKernel(
      program,
      kernel,
      i,
      all.filter((l) => l.kernel === i).map((l) => l.args),
      most,
    ),
  );
  const next = program.kernels.map(() => 0);
  const itemsOf = (items: readonly Item[]): GpuItem[] =>
    items.flatMap((i): GpuItem[] => {
      // Launches of a pass see what those before them stored.
      if (i.kind === 'barrier') return [];
      if (i.kind === 'loop') return [{ kind: 'loop', count: i.count, body: itemsOf(i.body) }];
      const n = next[i.kernel] ?? 0;
      next[i.kernel] = n + 1;
      const { ranges, constants } = present(kernels[i.kernel]?.launches[n], 'launch');
      return [{ kind: 'launch', kernel: i.kernel, constants, ranges }];
    });
  return { kernels, body: itemsOf(program.body) };
}

/** Bindings under construction: what each launch binds, parameter by parameter. */
interface Binder {
  readonly most: number;
  readonly bindings: GpuBinding[];
  readonly params: Map<string, ParamPlace>;
  readonly overrides: string[];
  readonly ranges: GpuRange[][];
  readonly constants: Record<string, number>[];
}

function bindKernel(
  program: Program,
  kernel: Kernel,
  number: number,
  launches: readonly (readonly Argument[])[],
  most: number,
): BoundKernel {
  const prefix = `k${number}_`;
  const uses = usesOf(kernel);
  const b: Binder = {
    most,
    bindings: [],
    params: new Map(),
    overrides: [],
    ranges: launches.map(() => []),
    constants: launches.map(() => ({})),
  };
  const params = kernel.params.map((tile, i): Param => ({
    name: tile.name,
    use: present(uses.get(tile.name)),
    args: launches.map((args) => present(args[i], tile.name)),
  }));
  const kinds = (kind: Argument['kind']): Param[] =>
    params.filter((p) => p.args.every((a) => a.kind === kind));
  invariant(
    kinds('arena').length +
      kinds('step').length +
      kinds('weights').length +
      kinds('state').length ===
      params.length,
    () => `${kernel.name}: launches bind a parameter to different kinds of memory`,
  );
  bindArena(b, prefix, kinds('arena'));
  bindStep(b, prefix, kinds('step'));
  bindWeights(b, prefix, program, kinds('weights'));
  bindStates(b, prefix, program, kinds('state'));
  return {
    kernel,
    entry: `${prefix}${wgslName(kernel.name)}`,
    prefix,
    bindings: b.bindings,
    params: b.params,
    overrides: b.overrides,
    launches: b.ranges.map((ranges, i) => ({ ranges, constants: present(b.constants[i]) })),
  };
}

interface Param {
  readonly name: string;
  readonly use: ParamUse;
  /** Of each launch. */
  readonly args: readonly Argument[];
}

function add(b: Binder, binding: GpuBinding, rangeOf: (launch: number) => GpuRange): GpuBinding {
  b.bindings.push(binding);
  b.ranges.forEach((ranges, launch) => ranges.push(rangeOf(launch)));
  return binding;
}

const placed = (b: Binder, bindings: readonly GpuBinding[], base: ParamBase): ParamPlace => ({
  bindings,
  base,
  partBytes: b.most,
});

/** Where a parameter begins in its binding, by launch: one number if all agree. */
function baseOf(
  b: Binder,
  prefix: string,
  name: string,
  bytes: (launch: number) => number,
): ParamBase {
  const all = b.ranges.map((_, launch) => {
    const units = bytes(launch) / unitBytes;
    invariant(Number.isInteger(units), () => `${name} does not begin at a whole unit`);
    return units;
  });
  const [first = 0] = all;
  if (all.every((u) => u === first)) return { kind: 'units', units: first };
  const override = `${prefix}${wgslName(name)}_at`;
  b.overrides.push(override);
  all.forEach((units, launch) => (present(b.constants[launch])[override] = units));
  return { kind: 'override', name: override };
}

function bindArena(b: Binder, prefix: string, params: readonly Param[]): void {
  if (params.length === 0) return;
  const binding = add(
    b,
    {
      name: `${prefix}arena`,
      kind: 'arena',
      write: params.some((p) => p.use.stored),
      elements: 'word',
    },
    () => ({ kind: 'arena' }),
  );
  for (const { name, use, args } of params) {
    invariant(!use.narrow, () => `${name}: narrow elements are stored to states only`);
    const at = (launch: number): number => {
      const a = present(args[launch]);
      invariant(a.kind === 'arena' && a.stride === 0, 'buffers stay where they are');
      return a.offset;
    };
    b.params.set(name, placed(b, [binding], baseOf(b, prefix, name, at)));
  }
}

function bindStep(b: Binder, prefix: string, params: readonly Param[]): void {
  if (params.length === 0) return;
  const binding = add(
    b,
    { name: `${prefix}step`, kind: 'step', write: false, elements: 'word' },
    () => ({ kind: 'step' }),
  );
  for (const { name, args } of params) {
    const [first] = args;
    invariant(
      first?.kind === 'step' && args.every((a) => a.kind === 'step' && a.field === first.field),
      () => `${name}: launches read different arrays of the step`,
    );
    b.params.set(name, placed(b, [binding], { kind: 'field', field: first.field }));
  }
}

/** Bytes of the weights that a launch reads for a parameter. */
interface Span {
  readonly from: number;
  readonly to: number;
  readonly stride: number;
}

function bindWeights(b: Binder, prefix: string, program: Program, params: readonly Param[]): void {
  const spanOf = (a: Argument): Span => {
    invariant(a.kind === 'weights', 'a weight');
    const slot = present(
      program.weights.find((s) => s.offset === a.offset),
      'weight',
    );
    const bytes = packedBytes(slot.shape, slot.dtype, slot.layout);
    return { from: a.offset, to: a.offset + bytes, stride: a.stride };
  };
  const spans = new Map(params.map((p) => [p.name, p.args.map(spanOf)]));
  const groups: { readonly members: Param[]; spans: readonly Span[] }[] = [];
  for (const p of params) {
    const own = present(spans.get(p.name));
    const group = groups.find((g) => joined(g.spans, own, b.most) !== undefined);
    if (group) {
      group.spans = present(joined(group.spans, own, b.most));
      group.members.push(p);
    } else groups.push({ members: [p], spans: own });
  }
  groups.forEach(({ members, spans: whole }, n) => {
    const elements = members.some((p) => p.use.wide) ? 'vec4' : 'word';
    const name = `${prefix}weights${groups.length > 1 ? `_${n}` : ''}`;
    const bytes = Math.max(...whole.map((s) => s.to - s.from));
    const parts = Math.ceil(bytes / b.most);
    const bindings = Array.from({ length: parts }, (_, part) =>
      add(
        b,
        {
          name: parts > 1 ? `${name}_part${part}` : name,
          kind: 'weights',
          write: false,
          elements: parts > 1 ? 'vec4' : elements,
        },
        (launch) => {
          const s = present(whole[launch]);
          const from = s.from + part * b.most;
          const end = Math.min(s.to, from + b.most);
          const size = Math.max(unitBytes, Math.ceil((end - from) / unitBytes) * unitBytes);
          return { kind: 'weights', offset: from, bytes: size, stride: s.stride };
        },
      ),
    );
    for (const p of members) {
      const own = present(spans.get(p.name));
      const at = (launch: number): number =>
        present(own[launch]).from - present(whole[launch]).from;
      b.params.set(p.name, placed(b, bindings, baseOf(b, prefix, p.name, at)));
    }
  });
}

/** Both in one binding, if they advance alike and are near each other in every launch. */
function joined(a: readonly Span[], b: readonly Span[], most: number): readonly Span[] | undefined {
  const both = a.map((x, i): Span => {
    const y = present(b[i]);
    return { from: Math.min(x.from, y.from), to: Math.max(x.to, y.to), stride: x.stride };
  });
  const same = a.every((x, i) => x.from === b[i]?.from && x.to === b[i]?.to);
  const near = both.every((s) => s.to - s.from <= most);
  const alike = a.every((x, i) => x.stride === b[i]?.stride);
  return alike && (near || same) ? both : undefined;
}

function bindStates(b: Binder, prefix: string, program: Program, params: readonly Param[]): void {
  const keyOf = (p: Param): string => JSON.stringify(p.args);
  const keys = [...new Set(params.map(keyOf))];
  for (const key of keys) {
    const members = params.filter((p) => keyOf(p) === key);
    const [first] = members;
    const uses = members.map((p) => p.use);
    const write = uses.some((u) => u.stored);
    const wide = !write && uses.some((u) => u.wide);
    const binding = add(
      b,
      {
        name: `${prefix}${wgslName(present(first).name)}`,
        kind: 'state',
        write,
        elements: uses.some((u) => u.narrow) ? 'atomic' : wide ? 'vec4' : 'word',
      },
      (launch) => {
        const a = present(first?.args[launch]);
        invariant(a.kind === 'state', 'a state');
        const state = program.states.findIndex((s) => s.offset === a.offset);
        invariant(state >= 0, 'a launch is bound to a state that there is');
        return { kind: 'state', state };
      },
    );
    for (const { name } of members) {
      b.params.set(name, placed(b, [binding], { kind: 'units', units: 0 }));
    }
  }
}
