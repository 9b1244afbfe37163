/** Model to scopes: the flow inside of each body, calls and runs of layers as boxes. */
import { showShape } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import { type TensorType, showType } from '../base/type.ts';
import {
  type Body,
  type Instance,
  type Model,
  type Repeat,
  type TypedExpr,
  type WeightDecl,
  nameAt,
} from '../2-model/model.ts';
import { weightsOf } from '../2-model/weights.ts';
import { type PartCost, addCost, noPartCost, partCosts, weightIn } from '../3-graph/part-cost.ts';
import { opOf } from '../ops/index.ts';
import { aheadOf, withRouters } from './ahead.ts';
import {
  type Named,
  type Port,
  type Scope,
  type ViewData,
  type ViewEdge,
  type ViewNode,
  type ViewOptions,
  figuresOf,
} from './data.ts';
import { sheetText } from './sheets.ts';
import { attrText, layersText, paramsOf, selectorOf, sourceText } from './paths.ts';

/** A value inside of a scope: what a node gives, or a text that needs no edge. */
type Ref =
  | { readonly kind: 'port'; readonly node: number; readonly port: number; readonly type: string }
  | { readonly kind: 'text'; readonly text: string };

type Draft<T> = { -readonly [K in keyof T]: T[K] };
type NodeDraft = Omit<ViewNode, 'ports' | 'operands'> & {
  readonly ports: Draft<Port>[];
  readonly operands: string[];
};

/** A scope that is being drawn. */
interface Sheet {
  readonly owned: readonly Instance[];
  readonly nodes: NodeDraft[];
  readonly edges: ViewEdge[];
  readonly names: Map<string, Ref>;
  readonly done: Map<TypedExpr, readonly Ref[]>;
  /** Layers read what is outside of them through inputs. */
  readonly outside?: (name: string) => Ref;
}

/** The data of a model's page. Needs no weights: types are a checkpoint's where one is given. */
export function viewModel(model: Model, options: ViewOptions): ViewData {
  const { context: keys, dtypeOf, schemeOf, sheets } = options;
  const said = sheetText(model, sheets, dtypeOf, schemeOf);
  const bitsOf = (path: string): number | undefined => said.storage(path).bits;
  const counted = { keys, bitsOf, ...(dtypeOf ? { dtypeOf } : {}) };
  const cost = partCosts(model, counted);
  const aheadIn = aheadOf(model, {
    keys,
    ...(dtypeOf ? { dtypeOf } : {}),
    ...(schemeOf ? { schemeOf } : {}),
  });
  const scopes: Scope[] = [];
  const numbers = new Map<string, number>();
  modelScope();
  return {
    name: model.name,
    context: keys,
    bound: dtypeOf !== undefined,
    typed: allWeights(model.body).some((w) => said.storage(w.path).says === 'sheets'),
    total: figuresOf(cost.total),
    scopes: withRouters(scopes),
  };

  function modelScope(): void {
    const sheet = emptySheet(model.body);
    for (const i of model.inputs) input(sheet, i.name, i.type);
    add(0, { kind: 'model', path: '', title: model.name, note: 'model', count: 1 }, model.body, [
      '',
    ]);
    draw(sheet, model.body, model.results, 1);
    finish(0, sheet, { params: paramsOf(model.params), cost: figuresOf(cost.total) });
  }

  function instanceScope(i: Instance, count: number): number {
    const had = numbers.get(i.path);
    if (had !== undefined) return had;
    const at = scopes.length;
    numbers.set(i.path, at);
    const path = selectorOf(i.path, count);
    const title = path.split('.').at(-1) ?? path;
    add(
      at,
      { kind: 'block', path, title, note: i.block, count: 1 },
      i.body,
      pathsOf(i.path, count),
      count,
    );
    const sheet = emptySheet(i.body);
    for (const p of i.inputs) input(sheet, p.name, p.type);
    draw(sheet, i.body, i.results, count);
    finish(at, sheet, { params: paramsOf(i.params), cost: figuresOf(bodyCost(i.body)) });
    return at;
  }

  function bodyCost(body: Body): PartCost {
    return cost.bodies.get(body) ?? noPartCost;
  }

  /** Takes the scope's number before those inside of it. */
  function add(
    at: number,
    head: Pick<Scope, 'kind' | 'path' | 'title' | 'note' | 'count'>,
    body: Body,
    paths: readonly string[],
    count = 1,
  ): void {
    scopes[at] = {
      ...head,
      params: [],
      cost: figuresOf(noPartCost),
      weights: body.weights.map((w) => ({
        path: selectorOf(w.path, count),
        name: w.path.split('.').at(-1) ?? w.path,
        source: sourceText(w.source, count),
        type: typeOf(w),
        cost: figuresOf(cost.weights.get(w) ?? noPartCost),
        properties: properties([w], pathsOf(w.path, count)),
      })),
      nodes: [],
      edges: [],
      precision: typesOf(allWeights(body)),
      properties: properties(allWeights(body), paths),
      ahead: aheadIn(allWeights(body).map((w) => w.path)),
    };
  }

  function finish(at: number, sheet: Sheet, rest: Pick<Scope, 'params' | 'cost'>): void {
    scopes[at] = { ...present(scopes[at]), ...rest, nodes: sheet.nodes, edges: sheet.edges };
  }

  function properties(weights: readonly WeightDecl[], paths: readonly string[]): readonly Named[] {
    return [...stored(weights), ...said.rows(paths), ...unplaced[said.placed(paths)]];
  }

  function stored(weights: readonly WeightDecl[]): readonly Named[] {
    if (weights.length === 0) return [];
    const how = dtypeOf ? 'as the checkpoint stores them' : 'counted so: no checkpoint is given';
    const by = new Set(weights.map((w) => said.storage(w.path).says));
    const who = !by.has('sheets')
      ? how
      : by.has('types')
        ? `as sheets say, else ${how}`
        : 'as sheets say';
    return [{ name: 'weights', value: `${typesOf(weights)}, ${who}` }];
  }

  /** The element types and schemes of weights, each once. */
  function typesOf(weights: readonly WeightDecl[]): string {
    return [...new Set(weights.flatMap((w) => said.storage(w.path).names))].sort().join(' ');
  }

  function typeOf(w: WeightDecl): string {
    return `${said.storage(w.path).names.join(' or ')}${showShape(w.type.shape)}`;
  }

  function draw(sheet: Sheet, body: Body, results: readonly TypedExpr[], count: number): void {
    for (const s of body.statements) {
      if (s.kind === 'repeat') {
        drawRepeat(sheet, s);
        continue;
      }
      const refs = many(sheet, s.value, count);
      s.names.forEach((name, i) => bindName(sheet, name, present(refs[i], name)));
    }
    results.forEach((r, i) => {
      const label = results.length === 1 ? 'return' : `return ${i}`;
      output(sheet, label, one(sheet, r, count));
    });
  }

  /** A box for each body of a run; what is carried goes from box to box and back. */
  function drawRepeat(sheet: Sheet, repeat: Repeat): void {
    for (const run of repeat.runs) {
      const boxes: number[] = [];
      const given = new Map<string, Ref>();
      run.bodies.forEach((body, b) => {
        const layers = layersText(run, b);
        const at = scopes.length;
        const name = present(body.instances[0]?.path ?? body.weights[0]?.path ?? 'layers').split(
          /\.?\{/,
        )[0];
        const path = `${name}[${layers}]`;
        const note = run.count === 1 ? 'one layer' : `×${run.count}`;
        const every = run.bodies.length;
        const paths = Array.from(
          { length: run.count },
          (_, i) => `${name}.${run.first + b + i * every}`,
        );
        const head = { kind: 'layers' as const, path, title: path, note, count: run.count };
        add(at, head, body, paths, run.count);
        const node = push(sheet, {
          kind: 'part',
          label: path,
          scope: at,
          cost: figuresOf(addCost(noPartCost, bodyCost(body), run.count)),
        });
        boxes.push(node);
        const inner: Sheet = {
          ...emptySheet(body),
          outside: (n) => {
            const ref = find(sheet, n);
            if (ref.kind === 'text') return ref;
            sheet.edges.push({ from: ref.node, port: ref.port, to: node });
            return inputOf(inner, n, ref.type);
          },
        };
        draw(inner, body, [], run.count);
        const before = new Map(inner.names);
        for (const { name: carried, type } of repeat.carried) {
          const next = before.get(carried);
          if (!next || isInput(inner, next)) continue;
          output(inner, carried, next);
          const port = present(sheet.nodes[node]).ports.push({
            name: carried,
            type: showType(type),
          });
          const ref: Ref = { kind: 'port', node, port: port - 1, type: showType(type) };
          sheet.names.set(carried, ref);
          given.set(carried, ref);
        }
        finish(at, inner, { params: [], cost: figuresOf(bodyCost(body)) });
      });
      if (run.count === 1) continue;
      for (const ref of given.values()) {
        if (ref.kind !== 'port') continue;
        sheet.edges.push({ from: ref.node, port: ref.port, to: present(boxes[0]), loop: true });
      }
    }
  }

  function one(sheet: Sheet, e: TypedExpr, count: number): Ref {
    return present(many(sheet, e, count)[0]);
  }

  function many(sheet: Sheet, e: TypedExpr, count: number): readonly Ref[] {
    const had = sheet.done.get(e);
    if (had) return had;
    const refs = drawn(sheet, e, count);
    if (e.kind !== 'local') sheet.done.set(e, refs);
    return refs;
  }

  function drawn(sheet: Sheet, e: TypedExpr, count: number): readonly Ref[] {
    switch (e.kind) {
      case 'local':
        return [find(sheet, e.name)];
      case 'weight':
        return [{ kind: 'text', text: weightText(e.weight, '') }];
      case 'constant':
        return [{ kind: 'text', text: numberText(e.value) }];
      case 'step':
        return [{ kind: 'text', text: `${e.field}: ${e.types.map(showType).join(', ')}` }];
      case 'pick':
        return [present(many(sheet, e.from, count)[e.index])];
      case 'op': {
        const w = weightIn(e);
        if (w) return [{ kind: 'text', text: weightText(w, ` ${e.op}`) }];
        const own = cost.ops.get(e);
        const node = {
          kind: 'op' as const,
          label: e.op,
          attrs: attrsOf(e),
          cost: figuresOf({ ...noPartCost, ...own }),
        };
        return nodeOf(sheet, node, e, count);
      }
      case 'call': {
        const inside = e.instance;
        const scope = instanceScope(inside, count);
        const node = {
          kind: 'part' as const,
          label: present(scopes[scope]).title,
          scope,
          cost: figuresOf(bodyCost(inside.body)),
          ...(sheet.owned.includes(inside) ? {} : { elsewhere: true as const }),
        };
        return nodeOf(sheet, node, e, count);
      }
    }
  }

  function nodeOf(
    sheet: Sheet,
    node: Pick<ViewNode, 'kind' | 'label' | 'cost'> & Partial<ViewNode>,
    e: Extract<TypedExpr, { kind: 'op' | 'call' }>,
    count: number,
  ): readonly Ref[] {
    const refs = e.inputs.map((x) => one(sheet, x, count));
    const types = e.types.map(showType);
    const at = push(sheet, { ...node, ports: types.map((type) => ({ name: '', type })) });
    refs.forEach((r) => join(sheet, r, at));
    return types.map((type, port) => ({ kind: 'port', node: at, port, type }));
  }

  function weightText(w: WeightDecl, how: string): string {
    return `${w.path.split('.').at(-1) ?? w.path}${how}: ${typeOf(w)}`;
  }
}

/** What the template says of an op; conditions (masks) even where they are the usual ones. */
function attrsOf(e: Extract<TypedExpr, { kind: 'op' }>): readonly Named[] {
  const specs = opOf(e.op).attrs;
  return Object.entries(e.attrs).flatMap(([name, v]) => {
    const spec = specs[name];
    const usual = spec?.default === undefined ? undefined : attrText(spec.default);
    const value = attrText(v);
    return spec?.result !== 'bool' && value === usual ? [] : [{ name, value }];
  });
}

const numberText = (value: number): string => String(Number(value.toPrecision(6)));

const allWeights = (body: Body): readonly WeightDecl[] =>
  [...weightsOf(body)].map(({ weight }) => weight);

/** Concrete paths of the layers that a pattern stands for. */
const pathsOf = (pattern: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => nameAt(pattern, i));

/** What is said of parts, or of some of their layers, that no sheet places. */
const unplaced = {
  all: [],
  some: [{ name: 'placement of others', value: 'left to the planner' }],
  none: [{ name: 'placement', value: 'left to the planner' }],
} as const;

const emptySheet = (body: Body): Sheet => ({
  owned: body.instances,
  nodes: [],
  edges: [],
  names: new Map(),
  done: new Map(),
});

function push(sheet: Sheet, node: Pick<ViewNode, 'kind' | 'label'> & Partial<ViewNode>): number {
  const full = { attrs: [], cost: figuresOf(noPartCost), ...node };
  return sheet.nodes.push({ ...full, operands: [], ports: [...(node.ports ?? [])] }) - 1;
}

function join(sheet: Sheet, ref: Ref, to: number): void {
  if (ref.kind === 'text') present(sheet.nodes[to]).operands.push(ref.text);
  else sheet.edges.push({ from: ref.node, port: ref.port, to });
}

function inputOf(sheet: Sheet, name: string, type: string): Ref {
  const node = push(sheet, { kind: 'input', label: name, ports: [{ name, type }] });
  const ref: Ref = { kind: 'port', node, port: 0, type };
  sheet.names.set(name, ref);
  return ref;
}

const input = (sheet: Sheet, name: string, type: TensorType): Ref =>
  inputOf(sheet, name, showType(type));

const isInput = (sheet: Sheet, ref: Ref): boolean =>
  ref.kind === 'port' && sheet.nodes[ref.node]?.kind === 'input';

const output = (sheet: Sheet, label: string, ref: Ref): void =>
  join(sheet, ref, push(sheet, { kind: 'output', label }));

function find(sheet: Sheet, name: string): Ref {
  const had = sheet.names.get(name);
  if (had) return had;
  return present(sheet.outside, name)(name);
}

/** The first name that a value is given is its label. */
function bindName(sheet: Sheet, name: string, ref: Ref): void {
  sheet.names.set(name, ref);
  if (ref.kind !== 'port') return;
  const port = present(sheet.nodes[ref.node]?.ports[ref.port]);
  if (port.name === '') port.name = name;
}
