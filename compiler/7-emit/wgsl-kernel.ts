/** A kernel as an entry point of a WGSL module. */
import { gridWidth } from '../../runtime/manifest.ts';
import { invariant, present, unreachable } from '../base/invariant.ts';
import { bytesOf } from '../base/type.ts';
import { type Writer, makeWriter } from '../base/writer.ts';
import type { Expr } from '../scalar/expr.ts';
import { type Axis, type Kernel, type Stmt, type Tile, scalarOf } from '../5-kernel/kernel.ts';
import type { BoundKernel } from './wgsl-bindings.ts';
import { type ExprContext, emitExpr, intText, typeText } from './wgsl-expr.ts';
import { type MemoryContext, type Place, loadText, partsText, storeText } from './wgsl-memory.ts';
import { wgslName } from './wgsl-names.ts';
import { type ParamUse, axisDivisor, divisor, usesOf } from './wgsl-uses.ts';

/** What kernels of a module share. */
export type Helpers = Pick<ExprContext, 'helper' | 'table'>;

interface Emission {
  readonly bound: BoundKernel;
  readonly workgroup: number;
  readonly places: Map<string, Place>;
  readonly uses: ReadonlyMap<string, ParamUse>;
  readonly expressions: ExprContext;
  readonly memory: MemoryContext;
  /** Divisors of what is named where the printer is. */
  divisors: Map<string, number>;
  /** What stands before the function: shared and known arrays. */
  readonly module: Writer;
  /** Parameters in bound arrays by which threads of a workgroup hand values to each other. */
  readonly handed: ReadonlySet<string>;
  /** Something of them was stored that no barrier has made seen. */
  unseen: boolean;
  fresh(hint: string): string;
}

export function emitKernel(bound: BoundKernel, helpers: Helpers): string {
  const { kernel } = bound;
  const e = emissionOf(bound, helpers);
  const body = makeWriter();
  body.indent(() => emitNest(e, body, kernel.body));
  const w = makeWriter();
  const schedule = Object.entries(kernel.schedule).map(([k, v]) => `, ${k} ${v}`);
  w.line(`// ${kernel.name}${schedule.join('')}`);
  for (const o of bound.overrides) w.line(`override ${o}: i32 = 0;`);
  bound.bindings.forEach(({ name, write, elements }, i) => {
    const element = { word: 'i32', vec4: 'vec4<i32>', atomic: 'atomic<u32>' }[elements];
    const access = write ? 'read_write' : 'read';
    w.line(`@group(0) @binding(${i + 1}) var<storage, ${access}> ${name}: array<${element}>;`);
  });
  const parts = new Map([...bound.params.values()].map((p) => [p.bindings[0]?.name, p]));
  for (const p of parts.values()) if (p.bindings.length > 1) lines(w, partsText(p));
  lines(w, e.module.text());
  w.line('@compute');
  w.line(`@workgroup_size(${e.workgroup})`);
  const given = [
    '@builtin(workgroup_id) group: vec3<u32>',
    '@builtin(local_invocation_index) local: u32',
  ];
  w.line(`fn ${bound.entry}(${given.join(', ')}) {`);
  w.indent(() => {
    const text = body.text();
    for (const s of kernel.scalars)
      if (new RegExp(`\\b${s}\\b`).test(text)) w.line(`let ${s} = sizes.${s};`);
    if (/\bthread\b/.test(text)) w.line('let thread = i32(local);');
  });
  return `${w.text()}${body.text()}}\n`;
}

const lines = (w: Writer, text: string): void => {
  if (text !== '')
    text
      .trimEnd()
      .split('\n')
      .forEach((l) => w.line(l));
};

function emissionOf(bound: BoundKernel, helpers: Helpers): Emission {
  const { kernel } = bound;
  invariant(kernel.workgroup !== undefined, () => `${kernel.name} runs in no workgroups`);
  const uses = usesOf(kernel);
  const places = new Map<string, Place>(
    kernel.params.map((tile) => [
      tile.name,
      { kind: 'bound', tile, at: present(bound.params.get(tile.name)) },
    ]),
  );
  const place = (name: string): Place => present(places.get(name), name);
  let count = 0;
  const expressions: ExprContext = {
    ...helpers,
    name: wgslName,
    load: (load) => loadText(memory, load),
  };
  const memory: MemoryContext = {
    prefix: bound.prefix,
    place,
    divisors: () => e.divisors,
    text: (x) => emitExpr(expressions, x, true),
  };
  const e: Emission = {
    bound,
    workgroup: kernel.workgroup,
    places,
    uses,
    expressions,
    memory,
    divisors: new Map(),
    module: makeWriter(),
    handed: handedTiles(bound, uses, loadedTiles(kernel)),
    unseen: false,
    fresh: (hint) => `${hint}_${count++}_`,
  };
  return e;
}

/** What is stored where something is loaded from; buffers of the arena do not meet in one launch. */
function handedTiles(
  { kernel, params }: BoundKernel,
  uses: ReadonlyMap<string, ParamUse>,
  loaded: ReadonlySet<string>,
): ReadonlySet<string> {
  const placeOf = (name: string): string => {
    const { bindings, base } = present(params.get(name));
    return JSON.stringify([bindings[0]?.name, base]);
  };
  const names = kernel.params.map((p) => p.name);
  const read = new Set(names.filter((n) => loaded.has(n)).map(placeOf));
  return new Set(names.filter((n) => uses.get(n)?.stored && read.has(placeOf(n))));
}

/** Tiles of which something is loaded. */
function loadedTiles(kernel: Kernel): ReadonlySet<string> {
  const found = new Set<string>();
  JSON.stringify(kernel.body, (key: string, value: unknown) => {
    if (typeof value === 'object' && value !== null && 'op' in value && value.op === 'load')
      if ('tile' in value) found.add(String(value.tile));
    return value;
  });
  return found;
}

/** The loops that a grid runs over, from the outermost on. */
export function blockLoops(kernel: Kernel): readonly Axis[] {
  const found: Axis[] = [];
  let { body } = kernel;
  for (;;) {
    const last: Stmt | undefined = body.at(-1);
    if (last?.kind !== 'loop' || last.axis.bind !== 'block') return found;
    found.push(last.axis);
    body = last.body;
  }
}

/**
 * Which workgroup this is, then the statements of the nest with its loops taken off. A grid is as wide as
 * its innermost loops: neighbours in those are neighbours in time. What is launched past the grid's end
 * does nothing.
 */
function emitNest(e: Emission, w: Writer, body: readonly Stmt[]): void {
  const loops = blockLoops(e.bound.kernel);
  invariant(loops.length > 0, 'kernels of workgroups have block loops');
  const text = (x: Expr): string => emitExpr(e.expressions, x);
  const [outer, ...inner] = loops;
  const flat = `i32(group.y * ${gridWidth}u + group.x)`;
  const first = present(outer);
  if (inner.length === 0) w.line(`let ${wgslName(first.name)} = ${flat};`);
  else {
    const rest = e.fresh('rest');
    w.line(`var ${rest} = ${flat};`);
    for (const axis of [...inner].reverse()) {
      w.line(`let ${wgslName(axis.name)} = ${rest} % ${text(axis.to)};`);
      w.line(`${rest} /= ${text(axis.to)};`);
    }
    w.line(`let ${wgslName(first.name)} = ${rest};`);
  }
  w.line(`if (${wgslName(first.name)} >= ${text(first.to)}) {`);
  w.line('  return;');
  w.line('}');
  const inside = (stmts: readonly Stmt[]): void => {
    for (const s of stmts) {
      if (s.kind === 'loop' && s.axis.bind === 'block') inside(s.body);
      else emitStmt(e, w, s);
    }
  };
  inside(body);
}

function emitStmts(e: Emission, w: Writer, stmts: readonly Stmt[]): void {
  const outer = new Map(e.divisors);
  w.indent(() => stmts.forEach((s) => emitStmt(e, w, s)));
  e.divisors = outer;
}

function emitStmt(e: Emission, w: Writer, s: Stmt): void {
  const bare = (x: Expr): string => emitExpr(e.expressions, x, true);
  switch (s.kind) {
    case 'let':
      w.line(`let ${wgslName(s.name)} = ${typedText(e, s.value)};`);
      if (s.value.dtype === 'i32') e.divisors.set(s.name, divisor(s.value, e.divisors));
      break;
    case 'tile':
      declareTile(e, w, s.tile);
      break;
    case 'store':
      storeText(e.memory, w, s.tile, s.index, s.value, () => e.fresh('lanes'));
      if (e.handed.has(s.tile)) e.unseen = true;
      break;
    case 'loop':
      emitLoop(e, w, s.axis, s.body);
      break;
    case 'if': {
      const before = e.unseen;
      w.line(`if (${bare(s.when)}) {`);
      emitStmts(e, w, s.then);
      const after = e.unseen;
      e.unseen = before;
      if (s.otherwise.length > 0) {
        w.line('} else {');
        emitStmts(e, w, s.otherwise);
      }
      e.unseen ||= after;
      w.line('}');
      break;
    }
    case 'barrier':
      invariant(s.owner === 'workgroup', 'barriers are those of a workgroup');
      if (e.unseen) w.line('storageBarrier();');
      e.unseen = false;
      w.line('workgroupBarrier();');
      break;
    case 'comment':
      w.line(`// ${s.text}`);
      break;
    case 'prefetch':
      break;
    case 'copy':
    case 'wait':
    case 'role':
    case 'mma':
      invariant(false, `WGSL has no ${s.kind}`);
      break;
    default:
      unreachable(s);
  }
}

const storesHanded = (e: Emission, stmts: readonly Stmt[]): boolean =>
  stmts.some((s) => {
    if (s.kind === 'loop') return storesHanded(e, s.body);
    if (s.kind === 'if') return storesHanded(e, s.then) || storesHanded(e, s.otherwise);
    return s.kind === 'store' && e.handed.has(s.tile);
  });

/** Numbers alone would be of no type yet. */
const typedText = (e: Emission, value: Expr): string =>
  value.op === 'const' && value.lanes === 1 && value.dtype !== 'bool'
    ? `${typeText(value.dtype, 1)}(${emitExpr(e.expressions, value, true)})`
    : emitExpr(e.expressions, value, true);

function declareTile(e: Emission, w: Writer, tile: Tile): void {
  const [count = 0] = tile.shape.length === 0 ? [1] : [tile.shape.reduce((a, b) => a * b, 1)];
  const scalar = scalarOf(tile.dtype);
  switch (tile.space) {
    case 'register': {
      const name = e.fresh(wgslName(tile.name));
      e.places.set(tile.name, { kind: 'registers', tile, name });
      const type = typeText(scalar, tile.lanes ?? 1);
      // Said outright: compilers are known to set what has no value to zero before a loop, not in each round.
      for (let i = 0; i < count; i++) w.line(`var ${name}_${i} = ${type}();`);
      break;
    }
    case 'shared': {
      invariant(bytesOf[tile.dtype] === 4, 'shared elements are words');
      const use = present(e.uses.get(tile.name));
      const vec4 = use.wideOnly && count % 4 === 0;
      const name = `${e.bound.prefix}${wgslName(tile.name)}`;
      e.places.set(tile.name, { kind: 'array', tile, name, vec4 });
      const type = vec4 ? `array<vec4<${scalar}>, ${count / 4}>` : `array<${scalar}, ${count}>`;
      e.module.line(`var<workgroup> ${name}: ${type};`);
      break;
    }
    case 'constant': {
      const name = `${e.bound.prefix}${wgslName(tile.name)}`;
      e.places.set(tile.name, { kind: 'array', tile, name, vec4: false });
      const values = present(tile.values, 'values of a tile that is known');
      const texts = values.map((value) =>
        emitExpr(e.expressions, { op: 'const', value, dtype: scalar, lanes: 1 }, true),
      );
      e.module.line(`const ${name} = array<${scalar}, ${count}>(${texts.join(', ')});`);
      break;
    }
    case 'global':
    case 'scratch':
    case 'fragment':
      invariant(false, `${tile.name}: no tile in ${tile.space} is declared in a workgroup`);
      break;
    default:
      unreachable(tile.space);
  }
}

/** A thread of the workgroup takes every so manieth iteration, from its own number on. */
function emitLoop(e: Emission, w: Writer, axis: Axis, body: readonly Stmt[]): void {
  const text = (x: Expr): string => emitExpr(e.expressions, x);
  const { bind, step, from, to } = axis;
  invariant(bind === 'serial' || bind === 'thread', () => `no ${bind} loop inside of a workgroup`);
  const name = wgslName(axis.name);
  let end = text(to);
  if (to.op !== 'const' && to.op !== 'var') {
    const held = e.fresh(`${name}_end`);
    w.line(`let ${held} = ${emitExpr(e.expressions, to, true)};`);
    end = held;
  }
  const own = step === 1 ? 'thread' : `thread * ${step}`;
  const start = from.op === 'const' && from.value === 0 ? own : `${text(from)} + ${own}`;
  const first = bind === 'thread' ? start : emitExpr(e.expressions, from, true);
  const stride = bind === 'thread' ? step * e.workgroup : step;
  w.line(`for (var ${name}: i32 = ${first}; ${name} < ${end}; ${name} += ${intText(stride)}) {`);
  const outer = new Map(e.divisors);
  e.divisors.set(axis.name, axisDivisor(axis, e.divisors));
  // What a round stores the next one may read behind a barrier of its own.
  if (storesHanded(e, body)) e.unseen = true;
  emitStmts(e, w, body);
  e.divisors = outer;
  w.line('}');
}
