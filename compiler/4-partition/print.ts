/** The plan as text. */
import { type Writer, makeWriter } from '../base/writer.ts';
import type { ValueId } from '../3-graph/graph.ts';
import type { WeightLayout } from '../5-kernel/layout.ts';
import type { Group, Plan, PlanItem, Region } from './plan.ts';

export function printPlan(plan: Plan): string {
  const w = makeWriter();
  w.line(`plan ${plan.name}`);
  w.indent(() => {
    plan.items.forEach((i) => printItem(w, plan, i));
    const weights = new Map([...plan.weights.values()].map((x) => [x.id, x]));
    for (const x of weights.values()) {
      w.line(`weight ${x.name}: ${x.dtype}[${x.shape.join(', ')}] ${layoutText(x.layout)}`);
    }
  });
  return w.text();
}

const layoutText = (l: WeightLayout): string => (l.kind === 'tiles' ? `tiles ${l.unit}` : l.kind);

function printItem(w: Writer, plan: Plan, item: PlanItem): void {
  if (item.kind === 'loop') {
    w.line(`loop ${item.count}`);
    w.indent(() => item.items.forEach((i) => printItem(w, plan, i)));
    return;
  }
  const { region } = item;
  const place = (v: ValueId): string => {
    const buffer = plan.buffers.get(v);
    return buffer
      ? `${buffer.name}[${buffer.rows}, ${buffer.width}]`
      : (plan.producers.get(v)?.node.state?.name ?? `%${v}`);
  };
  const list = (vs: readonly ValueId[]): string => [...new Set(vs.map(place))].join(', ');
  w.line(`${region.kind} ${region.name} (${list(region.reads)}) -> ${list(region.writes)}`);
  w.indent(() => printBody(w, region));
}

function printBody(w: Writer, region: Region): void {
  switch (region.kind) {
    case 'contract':
      region.groups.forEach((g) => w.line(groupText(g)));
      break;
    case 'rows':
    case 'attend':
    case 'merge':
    case 'copy':
      break;
  }
}

function groupText(g: Group): string {
  const products = g.anchors.map((a) => `%${a.node.results.join()} = ${a.node.op}`).join(', ');
  const after = g.epilogue.map((f) => f.node.op).join(', ');
  const units = Math.ceil(g.columns / g.unit);
  return `${units} x ${g.unit} columns: ${products}${after === '' ? '' : `; then ${after}`}`;
}
