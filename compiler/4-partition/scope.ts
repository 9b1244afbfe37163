/**
 * Cuts the nodes of one scope (the graph's top level or a loop's body) into regions.
 *
 * Contractions with weights are anchors. Work that follows an anchor joins its group as long as it
 * stays within a unit of columns; what leads to an anchor's operand is recomputed on the way in if
 * nothing else needs it in memory; what remains runs row by row.
 */
import { Graph, alg } from '@dagrejs/graphlib';
import { invariant, present } from '../base/invariant.ts';
import type { TensorType } from '../base/type.ts';
import { type Node, type ValueId, inputsOf, resultsOf } from '../3-graph/graph.ts';
import { granularity } from './locality.ts';
import type { Group, NodeFacts, RowAxis } from './plan.ts';
import { sizeOf } from './classify.ts';

/** Widest unit: more columns than that in one piece would leave threads idle. */
const widestUnit = 256;
/** The same where a unit is all columns, so that one thread does everything. */
const widestWhole = 64;
const bandRows = 16;

export interface Scope {
  readonly nodes: readonly Node[];
  /** Values that must be in memory when the scope ends: results, carried and captured values. */
  readonly demanded: ReadonlySet<ValueId>;
  readonly facts: ReadonlyMap<Node, NodeFacts>;
  readonly typeOf: (v: ValueId) => TensorType;
  /** Weights, their widened forms, constants and step arrays: read in place wherever needed. */
  readonly free: (v: ValueId) => boolean;
}

/** A piece of the scope in execution order; `members` are indices of nodes. */
export type Piece =
  | {
      readonly kind: 'contract';
      readonly axis: RowAxis;
      readonly groups: readonly Group[];
      readonly members: readonly number[];
    }
  | { readonly kind: 'attend'; readonly facts: NodeFacts; readonly members: readonly number[] }
  | {
      readonly kind: 'rows';
      readonly axis: RowAxis;
      readonly stores: readonly ValueId[];
      readonly appends: readonly NodeFacts[];
      readonly members: readonly number[];
    }
  | {
      readonly kind: 'loop';
      readonly node: Extract<Node, { kind: 'loop' }>;
      readonly members: readonly number[];
    };

interface OpenGroup {
  readonly anchors: number[];
  readonly epilogue: number[];
  need: number;
  readonly slots: Map<ValueId, number>;
}

export function cutScope(scope: Scope): readonly Piece[] {
  const { nodes } = scope;
  const definedBy = new Map<ValueId, number>();
  nodes.forEach((n, i) => resultsOf(n).forEach((v) => definedBy.set(v, i)));
  const users = new Map<number, number[]>();
  const edges = nodes.map((n) => [...new Set(inputsOf(n).flatMap((v) => definedBy.get(v) ?? []))]);
  edges.forEach((from, i) => from.forEach((d) => users.set(d, [...(users.get(d) ?? []), i])));

  const isTrivial = (i: number): boolean => {
    const n = present(nodes[i]);
    return n.kind !== 'loop' && (n.kind !== 'op' || n.results.every(scope.free));
  };
  const groups = new Map<number, OpenGroup>(); // by the index that names the group
  const groupOf = new Map<number, number>();
  nodes.forEach((n, i) => {
    const facts = scope.facts.get(n);
    if (!facts?.contraction) return;
    const slots = new Map<ValueId, number>();
    if (facts.contraction.slots !== undefined) {
      slots.set(present(facts.node.results[0]), facts.contraction.slots);
    }
    groups.set(i, { anchors: [i], epilogue: [], need: 1, slots });
    groupOf.set(i, i);
  });

  absorbEpilogues();
  releaseCheapTails();
  const materialised = decideMemory();
  return order(joinGroups());

  /** Node i's cluster: its group, or itself. */
  function clusterOf(i: number): number {
    return groupOf.get(i) ?? i;
  }

  /** True if the clusters, with `cluster` instead of clusterOf, can be put in some order. */
  function acyclic(cluster: (i: number) => number): boolean {
    const clusters = new Graph();
    edges.forEach((from, i) => {
      for (const d of from) {
        const [a, b] = [cluster(d), cluster(i)];
        if (a !== b) clusters.setEdge(String(a), String(b));
      }
    });
    return alg.isAcyclic(clusters);
  }

  function absorbEpilogues(): void {
    nodes.forEach((n, i) => {
      const facts = scope.facts.get(n);
      if (!facts || facts.contraction || isTrivial(i)) return;
      const from = [...new Set(present(edges[i]).flatMap((d) => groupOf.get(d) ?? []))];
      if (from.length === 0) return;
      // With all groups that it reads, else with one of them, the others in memory.
      for (const some of [from, ...[...from].reverse().map((g) => [g])]) {
        const joined = joinable(i, facts, some);
        if (!joined) continue;
        commit(i, some, joined);
        break;
      }
    });
  }

  /** The merged group that node i would follow, or undefined if it cannot. */
  function joinable(i: number, facts: NodeFacts, from: readonly number[]): OpenGroup | undefined {
    const parts = from.map((g) => present(groups.get(g)));
    if (from.some((a) => from.some((b) => a !== b && meets(a, b)))) return undefined;
    const anchors = parts.flatMap((p) => p.anchors);
    if (new Set(anchors.map((a) => columnsOf(a))).size !== 1) return undefined;
    if (new Set(anchors.map((a) => scope.facts.get(present(nodes[a]))?.axis)).size !== 1) {
      return undefined;
    }
    const slots = new Map(parts.flatMap((p) => [...p.slots]));
    const inGroup = (v: ValueId): boolean => {
      const d = definedBy.get(v);
      return d !== undefined && from.includes(groupOf.get(d) ?? -1);
    };
    const columns = granularity(facts, scope.typeOf, inGroup, (v) => slots.get(v));
    if (columns === undefined) return undefined;
    const need = Math.max(columns, ...parts.map((p) => p.need));
    if (parts.some((p) => need % p.need !== 0) || need % columns !== 0) return undefined;
    const all = columnsOf(present(anchors[0]));
    if (all % need !== 0 || need > (need === all ? widestWhole : widestUnit)) return undefined;
    const cluster = (x: number): number =>
      x === i || from.includes(clusterOf(x)) ? present(from[0]) : clusterOf(x);
    if (!acyclic(cluster)) return undefined;
    for (const v of facts.node.results) {
      const extent = slotsAfter(v, facts, slots);
      if (extent !== undefined) slots.set(v, extent);
    }
    const epilogue = [...parts.flatMap((p) => p.epilogue), i].sort((a, b) => a - b);
    return { anchors: anchors.sort((a, b) => a - b), epilogue, need, slots };
  }

  function slotsAfter(
    v: ValueId,
    facts: NodeFacts,
    slots: ReadonlyMap<ValueId, number>,
  ): number | undefined {
    const extent = facts.node.inputs.map((x) => slots.get(x)).find((s) => s !== undefined);
    const { shape } = scope.typeOf(v);
    if (extent === undefined || shape.length < 3) return undefined;
    return sizeOf(present(shape[1])) === extent ? extent : undefined;
  }

  function columnsOf(anchor: number): number {
    return present(scope.facts.get(present(nodes[anchor]))?.contraction).n;
  }

  function commit(i: number, from: readonly number[], joined: OpenGroup): void {
    const [name = -1, ...others] = from;
    others.forEach((g) => groups.delete(g));
    groups.set(name, joined);
    for (const m of [...joined.anchors, ...joined.epilogue, i]) groupOf.set(m, name);
  }

  /**
   * Gives back the ends of epilogues that would only be stored for row-wise work elsewhere, where
   * recomputing them from values that are stored anyway costs nothing: x * x before a mean.
   */
  function releaseCheapTails(): void {
    for (const group of groups.values()) {
      for (let again = true; again;) {
        again = false;
        for (const i of [...group.epilogue].reverse()) {
          const facts = present(scope.facts.get(present(nodes[i])));
          if (facts.lowered.kind === 'append' || facts.lowered.kind === 'top') continue;
          const by = users.get(i) ?? [];
          const demanded = facts.node.results.some((v) => scope.demanded.has(v));
          if (demanded || by.some((u) => !isFloating(u))) continue;
          const inputs = present(edges[i]).filter((d) => groupOf.get(d) === groupOf.get(i));
          if (!inputs.every((d) => leavesGroup(d, i))) continue;
          group.epilogue.splice(group.epilogue.indexOf(i), 1);
          groupOf.delete(i);
          again = true;
        }
      }
    }
  }

  /** Node d of a group is read outside of it by something other than `except`. */
  function leavesGroup(d: number, except: number): boolean {
    const n = present(nodes[d]);
    if (resultsOf(n).some((v) => scope.demanded.has(v))) return true;
    return (users.get(d) ?? []).some((u) => u !== except && groupOf.get(u) !== groupOf.get(d));
  }

  function isFloating(i: number): boolean {
    const facts = scope.facts.get(present(nodes[i]));
    return facts !== undefined && !groupOf.has(i) && facts.lowered.kind !== 'attend';
  }

  /** Row-wise nodes outside groups whose values must be in memory; the others are recomputed. */
  function decideMemory(): ReadonlySet<number> {
    const kept = new Set<number>();
    for (let i = nodes.length - 1; i >= 0; i--) {
      if (!isFloating(i) || isTrivial(i)) continue;
      const facts = present(scope.facts.get(present(nodes[i])));
      const demanded = facts.node.results.some((v) => scope.demanded.has(v));
      const many = facts.node.results.length > 1 || facts.lowered.kind === 'append';
      if (demanded || many || (users.get(i) ?? []).some((u) => needsMemory(i, u))) kept.add(i);
    }
    return kept;
  }

  function needsMemory(i: number, user: number): boolean {
    const n = present(nodes[user]);
    const facts = scope.facts.get(n);
    if (!facts) return true; // a loop
    // Reads rows of another numbering (picked tokens): whole rows must be there to pick from.
    if (facts.axis !== scope.facts.get(present(nodes[i]))?.axis) return true;
    if (facts.contraction) {
      const x = present(facts.node.inputs[facts.contraction.x]);
      return !resultsOf(present(nodes[i])).every((v) => v === x);
    }
    return !isFloating(user);
  }

  /** Groups that read the same operand become one region. */
  function joinGroups(): Map<number, number[]> {
    const regions = new Map<number, number[]>([...groups.keys()].map((g) => [g, [g]]));
    const regionOf = new Map<number, number>([...groups.keys()].map((g) => [g, g]));
    const keyOf = (g: number): string => {
      const facts = present(groups.get(g)).anchors.map((a) =>
        present(scope.facts.get(present(nodes[a]))),
      );
      return [...new Set(facts.map((f) => f.node.inputs[present(f.contraction).x]))].join();
    };
    const byOperand = new Map<string, number>();
    for (const g of [...groups.keys()].sort((a, b) => a - b)) {
      const into = byOperand.get(keyOf(g));
      const cluster = (i: number): number => {
        const own = groupOf.get(i);
        if (own === undefined) return i;
        return own === g ? (into ?? own) : present(regionOf.get(own));
      };
      const earlier = into === undefined ? [] : present(regions.get(into));
      // Threads share a region's groups among them: none may wait for another.
      if (into === undefined || earlier.some((e) => meets(e, g)) || !acyclic(cluster)) {
        byOperand.set(keyOf(g), g);
        continue;
      }
      present(regions.get(into)).push(g);
      regions.delete(g);
      regionOf.set(g, into);
    }
    return regions;
  }

  /** A node of one group reads a result of the other. */
  function meets(a: number, b: number): boolean {
    return edges.some((from, i) => {
      const own = groupOf.get(i);
      const other = own === a ? b : own === b ? a : undefined;
      return other !== undefined && from.some((d) => groupOf.get(d) === other);
    });
  }

  function order(regions: ReadonlyMap<number, readonly number[]>): Piece[] {
    const pieceOf = new Map<number, number>();
    for (const [name, members] of regions) {
      for (const g of members) {
        const group = present(groups.get(g));
        [...group.anchors, ...group.epilogue].forEach((i) => pieceOf.set(i, name));
      }
    }
    const starts = nodes
      .map((_, i) => i)
      .filter((i) => {
        if (pieceOf.has(i)) return pieceOf.get(i) === i || regions.has(i);
        return !isTrivial(i) && (!isFloating(i) || materialised.has(i));
      });
    starts.forEach((i) => pieceOf.set(i, pieceOf.get(i) ?? i));
    const names = [...new Set(starts.map((i) => present(pieceOf.get(i))))];
    const needs = new Map(names.map((p) => [p, dependencies(p, pieceOf)]));
    const done = new Set<number>();
    const out: Piece[] = [];
    while (done.size < names.length) {
      const ready = names.filter(
        (p) => !done.has(p) && [...present(needs.get(p))].every((d) => done.has(d)),
      );
      const next = ready.sort((a, b) => a - b)[0];
      invariant(next !== undefined, 'regions depend on each other in a circle');
      done.add(next);
      append(out, piece(next, regions));
    }
    return out;
  }

  /** Pieces that piece p reads from, through work that is recomputed. */
  function dependencies(p: number, pieceOf: ReadonlyMap<number, number>): Set<number> {
    const found = new Set<number>();
    const seen = new Set<number>();
    const visit = (i: number): void => {
      for (const d of present(edges[i])) {
        const owner = pieceOf.get(d);
        if (owner === p || seen.has(d)) continue;
        seen.add(d);
        if (owner !== undefined) found.add(owner);
        else visit(d);
      }
    };
    for (const [i, owner] of pieceOf) if (owner === p) visit(i);
    return found;
  }

  function piece(name: number, regions: ReadonlyMap<number, readonly number[]>): Piece {
    const members = regions.get(name);
    if (members) return contractPiece(members);
    const n = present(nodes[name]);
    if (n.kind === 'loop') return { kind: 'loop', node: n, members: [name] };
    const facts = present(scope.facts.get(n), 'facts of a node');
    if (facts.lowered.kind === 'attend') return { kind: 'attend', facts, members: [name] };
    return facts.lowered.kind === 'append'
      ? { kind: 'rows', axis: facts.axis, stores: [], appends: [facts], members: [name] }
      : {
          kind: 'rows',
          axis: facts.axis,
          stores: facts.node.results,
          appends: [],
          members: [name],
        };
  }

  function contractPiece(names: readonly number[]): Piece {
    const built = names.map((g): Group => {
      const group = present(groups.get(g));
      const factsAt = (i: number): NodeFacts => present(scope.facts.get(present(nodes[i])));
      const inside = new Set([...group.anchors, ...group.epilogue]);
      const stores = [...inside]
        .sort((a, b) => a - b)
        .filter((i) => factsAt(i).lowered.kind !== 'append')
        .flatMap((i) => factsAt(i).node.results)
        .filter(
          (v) =>
            scope.demanded.has(v) ||
            nodes.some((n, u) => !inside.has(u) && inputsOf(n).includes(v)),
        );
      const unit =
        group.need >= bandRows ? group.need : group.need * Math.ceil(bandRows / group.need);
      return {
        anchors: group.anchors.map(factsAt),
        epilogue: group.epilogue.map(factsAt),
        unit,
        columns: columnsOf(present(group.anchors[0])),
        stores,
        slots: group.slots,
      };
    });
    const members = names.flatMap((g) => {
      const group = present(groups.get(g));
      return [...group.anchors, ...group.epilogue];
    });
    return {
      kind: 'contract',
      axis: present(built[0]?.anchors[0]).axis,
      groups: built,
      members: members.sort((a, b) => a - b),
    };
  }

  /** Row-wise pieces that follow each other run in one kernel. */
  function append(out: Piece[], next: Piece): void {
    const last = out.at(-1);
    if (last?.kind === 'rows' && next.kind === 'rows' && last.axis === next.axis) {
      out[out.length - 1] = {
        ...last,
        stores: [...last.stores, ...next.stores],
        appends: [...last.appends, ...next.appends],
        members: [...last.members, ...next.members],
      };
    } else {
      out.push(next);
    }
  }
}
