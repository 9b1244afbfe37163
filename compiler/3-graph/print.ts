/** The graph as text that `read.ts` reads back: one node a line, loops indented. */
import { showType } from '../base/type.ts';
import { present, unreachable } from '../base/invariant.ts';
import { type Writer, makeWriter } from '../base/writer.ts';
import { type AttrValue, type Attrs } from '../ops/op.ts';
import type { ScalarFn } from '../scalar/expr.ts';
import { printFn } from '../scalar/print.ts';
import type { Graph, Node, OpNode, ValueId } from './graph.ts';

export function printGraph(graph: Graph): string {
  const w = makeWriter();
  w.line(`graph ${graph.name} {`);
  w.indent(() => {
    graph.nodes.forEach((n) => printNode(w, graph, n));
    w.line(`return ${list(graph.results)}`);
  });
  w.line('}');
  return w.text();
}

export const isFn = (v: AttrValue): v is ScalarFn => typeof v === 'object' && 'body' in v;

const list = (values: readonly ValueId[]): string => values.map((v) => `%${v}`).join(', ');

function printNode(w: Writer, graph: Graph, n: Node): void {
  const typed = (v: ValueId): string => `%${v}: ${showType(present(graph.types.get(v)))}`;
  switch (n.kind) {
    case 'step':
      return w.line(`${typed(n.result)} = step ${n.field}`);
    case 'input':
      return w.line(`${typed(n.result)} = input ${JSON.stringify(n.name)}`);
    case 'weight': {
      const from = n.source === n.name ? '' : ` from ${JSON.stringify(n.source)}`;
      const stored = n.scheme === undefined ? '' : ` stored ${JSON.stringify(n.scheme)}`;
      return w.line(`${typed(n.result)} = weight ${JSON.stringify(n.name)}${from}${stored}`);
    }
    case 'constant':
      return w.line(`${typed(n.result)} = constant ${printReal(n.value)}`);
    case 'op':
      return w.line(`${n.results.map(typed).join(', ')} = ${opText(n)}`);
    case 'loop': {
      w.line(`loop ${n.count} {`);
      w.indent(() => {
        for (const c of n.carried) w.line(`${typed(c.param)} = first %${c.initial}`);
        n.body.forEach((inner) => printNode(w, graph, inner));
        for (const c of n.carried) w.line(`${typed(c.result)} = last %${c.next}`);
      });
      return w.line('}');
    }
    default:
      return unreachable(n);
  }
}

function opText({ op, inputs, attrs, state }: OpNode): string {
  const kept = state
    ? ` keeps ${JSON.stringify(state.name)} ${state.spec.dtype}[${state.spec.row.join(', ')}]`
    : '';
  return `${op}(${list(inputs)})${attrsText(attrs)}${kept}`;
}

function attrsText(attrs: Attrs): string {
  const parts = Object.entries(attrs).map(([name, v]) => `${name} = ${attrText(v)}`);
  return parts.length === 0 ? '' : ` {${parts.join('; ')}}`;
}

function attrText(v: AttrValue): string {
  if (typeof v === 'number') return printReal(v);
  if (typeof v === 'boolean') return String(v);
  if (typeof v === 'string') return JSON.stringify(v);
  return isFn(v) ? printFn(v) : `[${v.map(printReal).join(', ')}]`;
}

/** JSON has no -0 and no infinities; JavaScript's own words do. */
const printReal = (v: number): string => (Object.is(v, -0) ? '-0' : String(v));
