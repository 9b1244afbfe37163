/** Loads and stores of tiles as WGSL. */
import { invariant, present } from '../base/invariant.ts';
import { bytesOf } from '../base/type.ts';
import { type Expr, type ExprOf, add, int } from '../scalar/expr.ts';
import type { Writer } from '../base/writer.ts';
import { type Tile, scalarOf } from '../5-kernel/kernel.ts';
import type { GpuBinding, ParamPlace } from './wgsl-bindings.ts';
import { unitBytes } from './wgsl-bindings.ts';
import { typeText } from './wgsl-expr.ts';
import { type Divisors, isWide } from './wgsl-uses.ts';

/** A tile, and what it is in the module. */
export type Place =
  | { readonly kind: 'bound'; readonly tile: Tile; readonly at: ParamPlace }
  /** An array of the workgroup, or one that is known: by name, maybe of vectors. */
  | { readonly kind: 'array'; readonly tile: Tile; readonly name: string; readonly vec4: boolean }
  | { readonly kind: 'registers'; readonly tile: Tile; readonly name: string };

export interface MemoryContext {
  readonly prefix: string;
  place(tile: string): Place;
  divisors(): Divisors;
  text(e: Expr): string;
}

const componentText = ['x', 'y', 'z', 'w'] as const;

export function loadText(c: MemoryContext, e: ExprOf<'load'>): string {
  const place = c.place(e.tile);
  switch (place.kind) {
    case 'registers':
      invariant(e.index.op === 'const', 'registers are addressed by constants');
      return `${place.name}_${e.index.value}`;
    case 'array':
      if (place.vec4) return `${place.name}[${quarter(c, e.index)}]`;
      return lanesText(e, (i) => `${place.name}[${c.text(elementAt(e.index, i))}]`);
    case 'bound':
      return boundLoad(c, e, place.tile, place.at);
  }
}

const elementAt = (index: Expr, lane: number): Expr => add(index, int(lane));
const quarter = (c: MemoryContext, index: Expr): string =>
  index.op === 'const' ? String(index.value / 4) : `(${c.text(index)}) >> 2u`;

/** One element, or a vector of several that are read one by one. */
function lanesText(e: ExprOf<'load'>, one: (lane: number) => string): string {
  if (e.lanes === 1) return one(0);
  const all = Array.from({ length: e.lanes }, (_, i) => one(i));
  return `${typeText(e.dtype, e.lanes)}(${all.join(', ')})`;
}

function boundLoad(c: MemoryContext, e: ExprOf<'load'>, tile: Tile, at: ParamPlace): string {
  const size = bytesOf[tile.dtype];
  if (size === 4) {
    const asType = (text: string): string =>
      scalarOf(tile.dtype) === 'f32' ? `bitcast<${typeText('f32', e.lanes)}>(${text})` : text;
    const vectors = present(at.bindings[0]).elements === 'vec4';
    if (vectors && isWide(e, tile, c.divisors())) return asType(vectorText(c, at, e.index));
    if (e.lanes === 1) return asType(wordText(c, at, c.text(e.index)));
    const words = Array.from({ length: e.lanes }, (_, i) =>
      wordText(c, at, c.text(elementAt(e.index, i))),
    );
    return asType(`vec${e.lanes}<i32>(${words.join(', ')})`);
  }
  return lanesText(e, (i) => narrowText(c, tile, at, elementAt(e.index, i)));
}

/** An element of less than a word: its bits, with its sign if it has one. */
function narrowText(c: MemoryContext, tile: Tile, at: ParamPlace, index: Expr): string {
  const { word, shift, bits } = partOf(c, tile, index);
  const text = wordText(c, at, word);
  if (tile.dtype === 'i8') return `extractBits(${text}, ${shift}, ${bits}u)`;
  return `bitcast<i32>(extractBits(bitcast<u32>(${text}), ${shift}, ${bits}u))`;
}

/** In which word a narrow element lies, and from which bit on. */
function partOf(c: MemoryContext, tile: Tile, index: Expr) {
  const size = bytesOf[tile.dtype];
  invariant(size === 1 || size === 2, 'elements of one, two or four bytes');
  const [inWord, bits] = [4 / size, 8 * size];
  const text = c.text(index);
  return {
    word: `(${text}) >> ${inWord / 2}u`,
    shift: `u32((${text}) & ${inWord - 1}) * ${bits}u`,
    bits,
  };
}

/** A word of a parameter. */
function wordText(c: MemoryContext, at: ParamPlace, index: string): string {
  const [first] = at.bindings;
  const binding = present(first);
  const moved = movedText(at, index, unitBytes / 4);
  if (at.bindings.length > 1) {
    return `${partsName(binding)}((${moved}) >> 2u)[(${moved}) & 3]`;
  }
  switch (binding.elements) {
    case 'word':
      return `${binding.name}[${moved}]`;
    case 'vec4':
      return `${binding.name}[(${moved}) >> 2u][(${moved}) & 3]`;
    case 'atomic':
      return `bitcast<i32>(atomicLoad(&${binding.name}[${moved}]))`;
  }
}

/** Four words of a parameter at a multiple of four. */
function vectorText(c: MemoryContext, at: ParamPlace, index: Expr): string {
  const binding = present(at.bindings[0]);
  const moved = movedText(at, quarter(c, index), unitBytes / 16);
  return at.bindings.length > 1 ? `${partsName(binding)}(${moved})` : `${binding.name}[${moved}]`;
}

/** An index from the beginning of a parameter, from that of its binding; `perUnit`: elements in a unit. */
function movedText({ base }: ParamPlace, index: string, perUnit: number): string {
  const text = / (>>|&) /.test(index) ? `(${index})` : index;
  switch (base.kind) {
    case 'units':
      return base.units === 0 ? index : `${text} + ${base.units * perUnit}`;
    case 'override':
      return perUnit === 1 ? `${text} + ${base.name}` : `${text} + ${base.name} * ${perUnit}`;
    case 'field':
      return `${text} + sizes.${base.field}`;
  }
}

/** The function that reads a vector of what is bound in parts. */
const partsName = ({ name }: GpuBinding): string => name.replace(/_part\d+$/, '_read');

export function partsText(at: ParamPlace): string {
  const name = partsName(present(at.bindings[0]));
  const vectors = at.partBytes / 16;
  const lines = at.bindings.map(({ name: part }, i) =>
    i === at.bindings.length - 1
      ? `  return ${part}[i - ${i * vectors}];`
      : `  if (i < ${(i + 1) * vectors}) {\n    return ${part}[i${i === 0 ? '' : ` - ${i * vectors}`}];\n  }`,
  );
  return `fn ${name}(i: i32) -> vec4<i32> {\n${lines.join('\n')}\n}`;
}

/** Stores lanes one after the other. */
export function storeText(
  c: MemoryContext,
  w: Writer,
  tile: string,
  index: Expr,
  value: Expr,
  fresh: () => string,
): void {
  const place = c.place(tile);
  const text = c.text(value);
  if (place.kind === 'registers') {
    invariant(index.op === 'const', 'registers are addressed by constants');
    w.line(`${place.name}_${index.value} = ${text};`);
    return;
  }
  if (place.kind === 'array' && place.vec4) {
    w.line(`${place.name}[${quarter(c, index)}] = ${text};`);
    return;
  }
  const one = (i: number, lane: string): void => {
    const at = elementAt(index, i);
    if (place.kind === 'array') return w.line(`${place.name}[${c.text(at)}] = ${lane};`);
    storeBound(c, w, place.tile, place.at, at, lane, value);
  };
  if (value.lanes === 1) return one(0, text);
  const name = fresh();
  w.line(`let ${name} = ${text};`);
  for (let i = 0; i < value.lanes; i++) one(i, `${name}.${present(componentText[i])}`);
}

function storeBound(
  c: MemoryContext,
  w: Writer,
  tile: Tile,
  at: ParamPlace,
  index: Expr,
  lane: string,
  { dtype }: Expr,
): void {
  const binding = present(at.bindings[0]);
  invariant(binding.write, () => `${tile.name} is bound for writing`);
  if (bytesOf[tile.dtype] === 4) {
    const word = dtype === 'f32' ? `bitcast<i32>(${lane})` : lane;
    const to = `${binding.name}[${movedText(at, c.text(index), unitBytes / 4)}]`;
    w.line(
      binding.elements === 'atomic'
        ? `atomicStore(&${to}, bitcast<u32>(${word}));`
        : `${to} = ${word};`,
    );
    return;
  }
  // Others may be storing to the same word: its bits are taken away and put in by atomics.
  const { word, shift, bits } = partOf(c, tile, index);
  const to = `&${binding.name}[${movedText(at, word, unitBytes / 4)}]`;
  const mask = `${2 ** bits - 1}u`;
  w.line(`atomicAnd(${to}, ~(${mask} << (${shift})));`);
  w.line(`atomicOr(${to}, (bitcast<u32>(${lane}) & ${mask}) << (${shift}));`);
}
