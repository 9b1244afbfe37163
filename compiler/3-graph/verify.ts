/** What must hold of every graph; a pass that breaks it is a compiler bug. */
import { constantDim, showDim } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import { sameType, showType, stepSymbols } from '../base/type.ts';
import { isOpName, opOf } from '../ops/index.ts';
import { isProblem } from '../ops/op.ts';
import { type Graph, type Node, type OpNode, type ValueId, inputsOf, resultsOf } from './graph.ts';

/** The graph's faults, in words; none for a good graph. */
export function verifyGraph(graph: Graph): readonly string[] {
  const faults: string[] = [];
  const defined = new Set<ValueId>();
  const states = new Set<string>();
  const seenStates = (name: string): void => {
    if (states.has(name)) faults.push(`the state ${name} is kept twice`);
    states.add(name);
  };
  const define = (v: ValueId): void => {
    if (defined.has(v)) faults.push(`%${v} is defined twice`);
    defined.add(v);
    const type = graph.types.get(v);
    if (!type) return void faults.push(`%${v} has no type`);
    for (const d of type.shape) {
      const size = constantDim(d);
      if (size === undefined && !stepSymbols.some((s) => s === showDim(d))) {
        faults.push(`%${v} has the open size ${showDim(d)}`);
      }
      if (size !== undefined && (!Number.isSafeInteger(size) || size < 0)) {
        faults.push(`%${v} has the size ${size}`);
      }
    }
  };
  /** `inLoop`: placeholders are allowed. Values defined inside are forgotten at the end. */
  const visit = (nodes: readonly Node[], inLoop: boolean): void => {
    const own: ValueId[] = [];
    for (const n of nodes) {
      const inputs = n.kind === 'loop' ? n.carried.map((c) => c.initial) : inputsOf(n);
      for (const v of inputs) if (!visible.has(v)) faults.push(`%${v} is read before it is there`);
      if (n.kind === 'loop') visitLoop(n, inLoop);
      if (n.kind === 'op') verifyOp(graph, n, faults);
      if (n.kind === 'weight' && n.name.includes('{') && !inLoop) {
        faults.push(`the weight ${n.name} of a loop is outside of any`);
      }
      if (n.kind === 'op' && n.state) seenStates(n.state.name);
      for (const v of resultsOf(n)) {
        define(v);
        visible.add(v);
        own.push(v);
      }
    }
    if (inLoop) own.forEach((v) => visible.delete(v));
  };
  const visitLoop = (n: Extract<Node, { kind: 'loop' }>, inside: boolean): void => {
    if (inside) faults.push('a loop in a loop');
    if (!Number.isSafeInteger(n.count) || n.count < 1) faults.push(`a loop of ${n.count} rounds`);
    for (const c of n.carried) {
      define(c.param);
      visible.add(c.param);
    }
    const body = new Set(n.body.flatMap(resultsOf));
    visit(n.body, true);
    for (const c of n.carried) {
      if (!body.has(c.next) && !visible.has(c.next))
        faults.push(`%${c.next} is carried, not there`);
      const types = [c.initial, c.param, c.next, c.result].map((v) => graph.types.get(v));
      if (types.some((t) => !t || !sameType(t, present(types[0])))) {
        faults.push(`%${c.param} is carried with different types`);
      }
      visible.delete(c.param);
    }
  };
  const visible = new Set<ValueId>();
  visit(graph.nodes, false);
  for (const v of graph.results) if (!visible.has(v)) faults.push(`the result %${v} is not there`);
  return faults;
}

/** Types are what the op's record infers, and state is kept where the record says. */
function verifyOp(graph: Graph, n: OpNode, faults: string[]): void {
  if (!isOpName(n.op)) return void faults.push(`no op ${String(n.op)}`);
  const def = opOf(n.op);
  const inputs = n.inputs.flatMap((v) => graph.types.get(v) ?? []);
  if (inputs.length !== n.inputs.length) return;
  if (
    (inputs.length > def.operands.length && !def.captures) ||
    inputs.length < def.operands.length - (def.optional ?? 0)
  ) {
    return void faults.push(`${n.op} has ${inputs.length} operands`);
  }
  const inferred = def.infer(inputs, n.attrs);
  if (isProblem(inferred)) return void faults.push(`${n.op}: ${inferred.text}`);
  if (inferred.length !== n.results.length) faults.push(`${n.op} has ${n.results.length} results`);
  n.results.forEach((v, i) => {
    const [has, wants] = [graph.types.get(v), inferred[i]];
    if (has && wants && !sameType(has, wants)) {
      faults.push(`%${v} is ${showType(has)}, ${n.op} gives ${showType(wants)}`);
    }
  });
  if ((def.state !== undefined) !== (n.state !== undefined)) faults.push(`${n.op}: its state`);
}
