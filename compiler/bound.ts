/** Models with their parameters, and what is made of them: other sheets, other parts, other models. */
import type { QuantScheme } from './base/scheme.ts';
import { type Span, titleOf } from './base/source.ts';
import {
  type Hole,
  type Params,
  type SheetSource,
  type Template,
  isTemplate,
} from './1-syntax/template.ts';
import type { ModelSource } from './2-model/check.ts';
import type { CachedType } from './2-model/effects.ts';
import type { Edit, LoraOptions } from './2-model/edits.ts';
import type { Root } from './2-model/extract.ts';
import type { BlockPart, ModelPart } from './2-model/tree.ts';
import {
  type Selector,
  type Subject,
  checked,
  checkedAgain,
  inWhole,
  loraEdit,
  replaceEdit,
  rootOf,
  select,
  setEdit,
  siteOf,
  subjectOf,
  takeEdit,
  tieEdits,
} from './surgery.ts';

/** No parameters at all: what types without a required one may be. */
type Empty = Readonly<Record<never, never>>;

/** Parameters may be left out where none must be given. */
type Given<P> = unknown extends P
  ? { readonly params?: Params }
  : Empty extends P
    ? { readonly params?: P }
    : { readonly params: P };

/** How a model is bound, with values of its parameters as its type argument has them. */
export type ModelOptions<P = Params> = Conventions & Given<P>;

export interface Conventions {
  /** Folder of the checkpoint: safetensors, tokenizer, config. */
  readonly checkpoint?: URL | string;
  /** Folders with the weights of adapters, as PEFT writes them. */
  readonly adapters?: readonly (URL | string)[];
  /** Positions the model was made for. */
  readonly context?: number;
  /** Token that begins a text, and those that end one. */
  readonly bos?: number;
  readonly eos?: readonly number[];
  /** Sheets in order: of rules with equal weight a later sheet's wins. */
  readonly sheets?: readonly SheetSource[];
  /**
   * What is multiplied with matrices that the checkpoint keeps quantised goes through this scheme,
   * unless a sheet says of a matrix what its activations are.
   */
  readonly activations?: QuantScheme;
  /** Elements of the caches of parts that attend, unless a sheet says of one what it holds; f32 unless given. */
  readonly kv?: CachedType;
}

/**
 * A model with its parameters: what a model file exports and `compile` takes. It is plain data with
 * methods, each of which returns another model and leaves this one as it is.
 *
 * The methods that change parts check the model at once, and throw DiagnosticsError with every
 * mistake, the place of their call first.
 */
export interface BoundModel extends Conventions {
  readonly template: Template;
  /** Values of the model's parameters. */
  readonly params?: Params;
  readonly sheets: readonly SheetSource[];
  /** Changes to the model, in order. */
  readonly edits: readonly Edit[];
  /** Path of the instance that is the model; absent where the whole is. */
  readonly root?: Root;
  /** The checked model as a tree of parts. Not copied by a spread; nor is `layers`. */
  readonly tree: BlockPart;
  /** Layers of the model's repeats in order: `model.layers[3]?.parts['self_attn']`. */
  readonly layers: readonly BlockPart[];
  /** The model with these sheets behind its own. */
  with(this: BoundModel, ...sheets: readonly SheetSource[]): BoundModel;
  /** The parts that a selector of sheets, a test or a list selects; none are no mistake. */
  find(this: BoundModel, selector: Selector): Selection;
  /**
   * Another block where instances were. Arguments of their `use` that it declares too are kept, but
   * for those in `params`. Undoes earlier edits inside of them.
   */
  replace(this: BoundModel, selector: Selector, block: Template, params?: Params): BoundModel;
  /** Other values for the model's parameters, or for those of instances. */
  set(this: BoundModel, params: Params): BoundModel;
  set(this: BoundModel, selector: Selector, params: Params): BoundModel;
  /** Adapters of low rank beside the weights selected, and beside the matrices in parts selected. */
  lora(this: BoundModel, selector: Selector, options: LoraOptions): BoundModel;
  /** Weights that become another one of the same type; parts become one in weights of equal names. */
  tie(this: BoundModel, selector: Selector, to: Selector): BoundModel;
  /** Only these layers of a repeat, numbered anew; their weights keep their names in the checkpoint. */
  take(this: BoundModel, selector: Selector): BoundModel;
  /** An instance of a block as a model of its own, which maps that block's inputs to its results. */
  sub(this: BoundModel, selector: Selector): BoundModel;
}

/** Parts of a model, and the edits of just these. */
export interface Selection extends Iterable<ModelPart> {
  readonly parts: readonly ModelPart[];
  readonly length: number;
  replace(block: Template, params?: Params): BoundModel;
  set(params: Params): BoundModel;
  lora(options: LoraOptions): BoundModel;
  tie(to: Selector): BoundModel;
  take(): BoundModel;
}

type BoundData = Conventions &
  Pick<BoundModel, 'template' | 'params' | 'sheets' | 'edits' | 'root'>;

export function bind<P = Params>(
  template: Template<P>,
  ...[options]: Empty extends P ? [NoInfer<ModelOptions<P>>?] : [NoInfer<ModelOptions<P>>]
): BoundModel {
  // The parameters are held against the text when the model is checked: no type needs to stay.
  const given = options as ModelOptions | undefined;
  return bound({ ...given, template, sheets: options?.sheets ?? [], edits: [] });
}

/** `known`: the model that this is, where it was checked already. */
function bound(data: BoundData, known?: Subject): BoundModel {
  let subject = known;
  const self: BoundModel = {
    ...data,
    get tree() {
      return subjectFor(this).tree;
    },
    get layers() {
      return subjectFor(this).tree.layers;
    },
    with(...more) {
      const same = this === self ? subject : undefined;
      return bound({ ...dataOf(this), sheets: [...this.sheets, ...more] }, same);
    },
    find(selector) {
      const site = siteOf(new Error().stack, `find(${show(selector)})`);
      return selection(this, select(subjectFor(this).tree, selector, site));
    },
    replace(selector, block, params = {}) {
      const text = `replace(${[show(selector), ...replaceText(block, params)].join(', ')})`;
      const site = siteOf(new Error().stack, text);
      const edit = replaceEdit(subjectFor(this), selector, block, params, site);
      return edited(this, [edit], site, block);
    },
    set(...given: readonly [Params] | readonly [Selector, Params]) {
      const [selector, params] = given.length === 1 ? [undefined, given[0]] : given;
      const text = [...(selector === undefined ? [] : [show(selector)]), showParams(params)];
      const site = siteOf(new Error().stack, `set(${text.join(', ')})`);
      if (selector !== undefined) {
        return edited(this, [setEdit(subjectFor(this), selector, params, site)], site);
      }
      subjectFor(this);
      return settle(withParams(dataOf(this), params, site), site);
    },
    lora(selector, options) {
      const text = `lora(${show(selector)}, ${showParams({ rank: options.rank, alpha: options.alpha })})`;
      const site = siteOf(new Error().stack, text);
      return edited(this, [loraEdit(subjectFor(this), selector, options, site)], site);
    },
    tie(selector, to) {
      const site = siteOf(new Error().stack, `tie(${show(selector)}, ${show(to)})`);
      return edited(this, tieEdits(subjectFor(this), selector, to, site), site);
    },
    take(selector) {
      const site = siteOf(new Error().stack, `take(${show(selector)})`);
      return edited(this, [takeEdit(subjectFor(this), selector, site)], site);
    },
    sub(selector) {
      const site = siteOf(new Error().stack, `sub(${show(selector)})`);
      const own = rootOf(subjectFor(this), selector, site);
      const path = this.root ? `${this.root.path}.${own}` : own;
      return settle({ ...dataOf(this), root: { path, site } }, site);
    },
  };
  // A spread would evaluate them, and keep what they were.
  for (const key of ['tree', 'layers']) Object.defineProperty(self, key, { enumerable: false });
  return self;

  /** A copy by spread may have other parameters: it is checked for itself. */
  function subjectFor(of: BoundModel): Subject {
    if (of !== self) return subjectOf(checked(of));
    return (subject ??= subjectOf(checked(of)));
  }
}

function dataOf(model: BoundModel): BoundData {
  const { template, params, checkpoint, adapters, context, bos, eos, sheets, activations, kv, edits, root } = model; // prettier-ignore
  return {
    template,
    sheets,
    edits,
    ...(params === undefined ? {} : { params }),
    ...(checkpoint === undefined ? {} : { checkpoint }),
    ...(adapters === undefined ? {} : { adapters }),
    ...(context === undefined ? {} : { context }),
    ...(activations === undefined ? {} : { activations }),
    ...(kv === undefined ? {} : { kv }),
    ...(bos === undefined ? {} : { bos }),
    ...(eos === undefined ? {} : { eos }),
    ...(root === undefined ? {} : { root }),
  };
}

/** The parameters of the model are the template's; of a block taken as a model, that block's. */
function withParams(data: BoundData, params: Params, site: Span): BoundData {
  if (!data.root) return { ...data, params: { ...data.params, ...params } };
  const edit: Edit = { kind: 'set', at: [data.root.path], params, site };
  return { ...data, edits: [...data.edits, edit] };
}

function edited(
  model: BoundModel,
  edits: readonly Edit[],
  site: Span,
  block?: Template,
): BoundModel {
  const data = dataOf(model);
  const whole = edits.map((e) => inWhole(e, data.root?.path ?? ''));
  return settle({ ...data, edits: [...data.edits, ...whole] }, site, block);
}

const settle = (data: BoundData, site: Span, block?: Template): BoundModel =>
  bound(data, subjectOf(checkedAgain(data satisfies ModelSource, site, block)));

function selection(model: BoundModel, parts: readonly ModelPart[]): Selection {
  return {
    parts,
    length: parts.length,
    [Symbol.iterator]: () => parts[Symbol.iterator](),
    replace(block, params = {}) {
      const site = siteOf(new Error().stack, `replace(${replaceText(block, params).join(', ')})`);
      return edited(
        model,
        [replaceEdit({ tree: model.tree }, parts, block, params, site)],
        site,
        block,
      );
    },
    set(params) {
      const site = siteOf(new Error().stack, `set(${showParams(params)})`);
      return edited(model, [setEdit({ tree: model.tree }, parts, params, site)], site);
    },
    lora(options) {
      const text = showParams({ rank: options.rank, alpha: options.alpha });
      const site = siteOf(new Error().stack, `lora(${text})`);
      return edited(model, [loraEdit({ tree: model.tree }, parts, options, site)], site);
    },
    tie(to) {
      const site = siteOf(new Error().stack, `tie(${show(to)})`);
      return edited(model, tieEdits({ tree: model.tree }, parts, to, site), site);
    },
    take() {
      const site = siteOf(new Error().stack, 'take()');
      return edited(model, [takeEdit({ tree: model.tree }, parts, site)], site);
    },
  };
}

/** The call as a diagnostic shows it. */
function show(selector: Selector): string {
  if (typeof selector === 'string') return `'${selector}'`;
  if (typeof selector === 'function') return '(part) => ..';
  if ('kind' in selector) return selector.path;
  return `[${selector
    .map((p) => p.path)
    .slice(0, 2)
    .join(', ')}${selector.length > 2 ? ', ..' : ''}]`;
}

const replaceText = (block: Template, params: Params): readonly string[] => {
  const { source, start, end } = titleOf(block.source);
  const given = Object.keys(params).length === 0 ? [] : [showParams(params)];
  return [source.text.slice(start, end), ...given];
};

const showParams = (params: Params): string =>
  `{ ${Object.entries(params)
    .map(([name, v]) => `${name}: ${showHole(v)}`)
    .join(', ')} }`;

function showHole(hole: Hole): string {
  if (isTemplate(hole)) return replaceText(hole, {}).join();
  const text = JSON.stringify(hole) ?? String(hole);
  return text.length > 32 ? `${text.slice(0, 30)}..` : text;
}
