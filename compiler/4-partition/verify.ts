/** What must hold of every plan; a partition that breaks it is a compiler bug. */
import type { ValueId } from '../3-graph/graph.ts';
import type { Plan, PlanItem, Region } from './plan.ts';

/** The plan's faults, in words; none for a good plan. */
export function verifyPlan(plan: Plan): readonly string[] {
  const faults: string[] = [];
  const written = new Set<ValueId>();
  const visit = (items: readonly PlanItem[]): void => {
    for (const item of items) {
      if (item.kind === 'loop') {
        if (item.count < 1) faults.push(`a loop of ${item.count} rounds`);
        // What a loop carries is written by its initial value's place; bodies are read in order.
        visit(item.items);
        continue;
      }
      verifyRegion(item.region);
    }
  };
  const verifyRegion = (region: Region): void => {
    for (const v of region.reads) {
      if (!plan.buffers.has(v) && !plan.producers.get(v)?.node.state) {
        faults.push(`${region.name} reads %${v}, which is nowhere in memory`);
      } else if (!written.has(v) && !sharesWithWritten(v)) {
        faults.push(`${region.name} reads %${v} before it is written`);
      }
    }
    if (region.kind === 'contract') verifyGroups(region);
    region.writes.forEach((v) => written.add(v));
  };
  /** A carried value lies in a buffer under several names. */
  const sharesWithWritten = (v: ValueId): boolean => {
    const buffer = plan.buffers.get(v)?.id;
    return buffer !== undefined && [...written].some((w) => plan.buffers.get(w)?.id === buffer);
  };
  const verifyGroups = (region: Extract<Region, { kind: 'contract' }>): void => {
    region.groups.forEach((group, g) => {
      const own = new Set([...group.anchors, ...group.epilogue].flatMap((f) => f.node.results));
      if (group.unit < 1 || group.columns < 1) faults.push(`${region.name}: an empty unit`);
      for (const other of region.groups.filter((_, i) => i !== g)) {
        const inputs = [...other.anchors, ...other.epilogue].flatMap((f) => f.node.inputs);
        const waits = inputs.find((v) => own.has(v));
        if (waits !== undefined) {
          faults.push(`${region.name}: one group reads %${waits} of another, with no barrier`);
        }
      }
      for (const v of group.stores) {
        if (!own.has(v)) faults.push(`${region.name} stores %${v}, which it does not compute`);
      }
    });
  };
  visit(plan.items);
  if (!written.has(plan.result)) faults.push(`the result %${plan.result} is not written`);
  return faults;
}
