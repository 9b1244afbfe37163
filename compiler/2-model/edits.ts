/**
 * Surgery: changes to a model as data, and the book that the elaboration looks them up in. A part's
 * path is its identity; each edit's paths are those of the model that it was made on.
 */
import type { Span } from '../base/source.ts';
import type { DType } from '../base/type.ts';
import type { Params, Template } from '../1-syntax/template.ts';
import type { WeightDecl } from './model.ts';

/** What an adapter of low rank is: y + (x A^T) B^T * alpha / rank beside each product y = x W^T. */
export interface LoraOptions {
  /** Rows of A, columns of B. */
  readonly rank: number;
  readonly alpha: number;
  /** What stands before a weight's checkpoint name; as PEFT writes it unless told. */
  readonly prefix?: string;
  /** What stands behind it for A and for B. */
  readonly suffixes?: readonly [string, string];
  /** Tells several adapters of one weight apart: `q_proj.lora_A.style`. */
  readonly name?: string;
}

interface Base {
  /** Where the user made it. */
  readonly site: Span;
}

export type Edit =
  /** Instances as another block; arguments of their `use` that it declares too are kept. */
  | (Base & {
      readonly kind: 'replace';
      readonly at: readonly string[];
      readonly block: Template;
      readonly params: Params;
    })
  /** Other arguments for instances. */
  | (Base & { readonly kind: 'set'; readonly at: readonly string[]; readonly params: Params })
  /** Adapters beside weights. */
  | (Base & { readonly kind: 'lora'; readonly at: readonly string[]; readonly lora: LoraOptions })
  /** Weights that are another one. */
  | (Base & { readonly kind: 'tie'; readonly at: readonly string[]; readonly to: string })
  /** Layers that a repeat keeps, in order, by the numbers that they had; numbered anew from 0. */
  | (Base & { readonly kind: 'take'; readonly repeat: string; readonly layers: readonly number[] });

export type EditOf<K extends Edit['kind']> = Extract<Edit, { readonly kind: K }>;

/** Edits by path, as the elaboration asks for them: paths are those of the model after all edits. */
export interface EditBook {
  /** The edits of a part or weight that stand, in order: a replacement undoes those inside before it. */
  at(path: string): readonly Edit[];
  /** The number that each layer of a repeat has in the text. */
  layersOf(repeat: string, count: number): readonly number[] | MissingLayer;
  /** Text that differs where the edits inside of two layers do. */
  keyOf(path: string): string;
  /** Text that differs where what sheets say of the numbers inside does. */
  markOf(path: string): string;
  /** Whether any weight has an adapter. */
  readonly adapts: boolean;
  /** The element types that weights are to be stored as, by concrete path. */
  readonly stored: ReadonlyMap<string, DType>;
  /** Weights that are another one, which is given with its concrete path. */
  readonly tied: ReadonlyMap<string, WeightDecl>;
  /** The others: one for the whole model, whatever layer they stand in. */
  readonly shared: ReadonlyMap<string, WeightDecl>;
}

/** A take of a layer that is not there: the count of the repeat was changed since. */
export interface MissingLayer {
  readonly edit: EditOf<'take'>;
  readonly layer: number;
  readonly count: number;
}

/** Paths that an edit speaks of. */
function targetsOf(edit: Edit): readonly string[] {
  switch (edit.kind) {
    case 'replace':
    case 'set':
    case 'lora':
      return edit.at;
    case 'tie':
      return [...edit.at, edit.to];
    case 'take':
      return [edit.repeat];
  }
}

/** What sheets say of numbers, as far as layers that differ in it must be told apart. */
export interface SheetNumerics {
  /** The element types that weights are to be stored as, by concrete path. */
  readonly stored: ReadonlyMap<string, DType>;
  /** Texts by concrete path: layers with different ones are not the same. */
  readonly marks: ReadonlyMap<string, string>;
}

const noNumerics: SheetNumerics = { stored: new Map(), marks: new Map() };

export function makeEditBook(
  edits: readonly Edit[],
  tied: ReadonlyMap<string, WeightDecl>,
  { stored, marks }: SheetNumerics = noNumerics,
): EditBook {
  const targets = edits.map((e) => new Set(e.kind === 'take' ? [] : e.at));
  const marked = new Map<string, string[]>();
  for (const path of marks.keys()) {
    for (const outer of [...outerPaths(path), path]) {
      const had = marked.get(outer);
      if (had) had.push(path);
      else marked.set(outer, [path]);
    }
  }
  const markOf = (path: string): string =>
    (marked.get(path) ?? []).map((p) => `${p.slice(path.length)}:${marks.get(p)}`).join();
  return {
    at(path) {
      if (edits.length === 0) return [];
      const replaced = edits.map(
        (e, i) =>
          e.kind === 'replace' &&
          outerPaths(pathAt(edits, i, path)).some((outer) => targets[i]?.has(outer)),
      );
      const undone = replaced.lastIndexOf(true);
      return edits.filter((_, i) => i > undone && targets[i]?.has(pathAt(edits, i, path)));
    },
    layersOf(repeat, count) {
      let numbers: readonly number[] = Array.from({ length: count }, (_, l) => l);
      for (const [i, edit] of edits.entries()) {
        if (edit.kind !== 'take' || edit.repeat !== pathAt(edits, i, repeat)) continue;
        const layer = edit.layers.find((l) => numbers[l] === undefined);
        if (layer !== undefined) return { edit, layer, count: numbers.length };
        numbers = edit.layers.flatMap((l) => numbers[l] ?? []);
      }
      return numbers;
    },
    keyOf(path) {
      return edits
        .flatMap((edit, i) => {
          const inside = `${pathAt(edits, i, path)}.`;
          const own = targetsOf(edit).map((t) =>
            t.startsWith(inside) ? t.slice(inside.length) : '',
          );
          return own.every((t) => t === '') ? [] : [`${i}:${keyText(edit, own)}`];
        })
        .concat(markOf(path))
        .join(' ');
    },
    markOf,
    stored,
    adapts: edits.some((e) => e.kind === 'lora'),
    tied,
    shared: new Map([...tied.values()].map((w) => [w.path, w])),
  };
}

/** The names inside of a layer that an edit is of; a weight that others become is told apart. */
const keyText = (edit: Edit, own: readonly string[]): string => {
  const to = edit.kind === 'tie' ? own.at(-1) : '';
  const at = edit.kind === 'tie' ? own.slice(0, -1) : own;
  return `${at.filter((t) => t !== '').join()}>${to}`;
};

/** The path that a part of the model after all edits had when edit `index` was made. */
function pathAt(edits: readonly Edit[], index: number, path: string): string {
  let now = path;
  for (let i = edits.length - 1; i > index; i--) {
    const edit = edits[i];
    if (edit?.kind === 'take') now = beforeTake(edit, now);
  }
  return now;
}

/** `layers.2.x` of the model after a take is `layers.4.x` of the one before. */
function beforeTake({ repeat, layers }: EditOf<'take'>, path: string): string {
  if (!path.startsWith(`${repeat}.`)) return path;
  const [number = '', ...rest] = path.slice(repeat.length + 1).split('.');
  return [repeat, layers[Number(number)] ?? number, ...rest].join('.');
}

/** Paths of what a part stands in, the nearest last. */
function outerPaths(path: string): readonly string[] {
  const names = path.split('.');
  return names.slice(1).map((_, i) => names.slice(0, i + 1).join('.'));
}

export interface TiedWeight {
  readonly edit: EditOf<'tie'>;
  readonly weight: WeightDecl;
  /** What it becomes; absent where a later edit took that away. */
  readonly to: WeightDecl | undefined;
}

/** The ties that stand; `weights` are those of the model without ties, by concrete paths. */
export function tiesOf(
  edits: readonly Edit[],
  weights: readonly WeightDecl[],
): readonly TiedWeight[] {
  const book = makeEditBook(edits, new Map());
  return weights.flatMap((weight) => {
    const edit = book
      .at(weight.path)
      .filter((e) => e.kind === 'tie')
      .at(-1);
    if (!edit) return [];
    const index = edits.indexOf(edit);
    const to = weights.find((w) => pathAt(edits, index, w.path) === edit.to);
    return [{ edit, weight, to }];
  });
}
