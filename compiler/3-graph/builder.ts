/** Builds graphs node by node, inferring types on the way. */
import { invariant, present } from '../base/invariant.ts';
import type { Span } from '../base/source.ts';
import type { TensorType } from '../base/type.ts';
import { type OpName, isOpName, opOf } from '../ops/index.ts';
import { type AttrValue, type Attrs, isProblem } from '../ops/op.ts';
import type { Node, ValueId } from './graph.ts';

export interface GraphBuilder {
  fresh(type: TensorType, origin?: Span): ValueId;
  push(node: Node): void;
  /** Appends an op (or what it stands for); returns its results. */
  op(
    name: OpName,
    inputs: readonly ValueId[],
    attrs: Attrs,
    origin?: Span,
    state?: string,
  ): readonly ValueId[];
  typeOf(v: ValueId): TensorType;
  /** Runs `body` with its nodes collected apart, as a loop's. */
  nested(body: () => void): readonly Node[];
  readonly types: Map<ValueId, TensorType>;
  readonly origins: Map<ValueId, Span>;
  readonly nodes: () => readonly Node[];
}

export function makeGraphBuilder(): GraphBuilder {
  const types = new Map<ValueId, TensorType>();
  const origins = new Map<ValueId, Span>();
  let current: Node[] = [];
  let next = 0;

  const builder: GraphBuilder = {
    types,
    origins,
    nodes: () => current,
    typeOf: (v) => present(types.get(v), `type of %${v}`),
    fresh(type, origin) {
      const id = next++;
      types.set(id, type);
      if (origin) origins.set(id, origin);
      return id;
    },
    push: (node) => {
      current.push(node);
    },
    nested(body) {
      const outer = current;
      current = [];
      body();
      const inner = current;
      current = outer;
      return inner;
    },
    op(name, inputs, given, origin, state) {
      const def = opOf(name);
      const attrs = withDefaults(name, given);
      if (def.expand) {
        const call = (op: string, operands: readonly number[], own: Attrs): number => {
          invariant(isOpName(op), () => `no op named ${op}`);
          return present(builder.op(op, operands, own, origin)[0]);
        };
        return def.expand(call, inputs, attrs);
      }
      const operandTypes = inputs.map(builder.typeOf);
      const inferred = def.infer(operandTypes, attrs);
      invariant(!isProblem(inferred), () => `${name}: ${isProblem(inferred) ? inferred.text : ''}`);
      const results = inferred.map((t) => builder.fresh(t, origin));
      const kept = def.state?.(operandTypes, attrs);
      invariant(
        (kept !== undefined) === (state !== undefined),
        () => `${name}: state and its name`,
      );
      builder.push({
        kind: 'op',
        op: name,
        inputs,
        attrs,
        results,
        ...(kept && state !== undefined ? { state: { name: state, spec: kept } } : {}),
      });
      return results;
    },
  };
  return builder;
}

/** Attributes in the record's order, absent ones from their defaults. */
export function withDefaults(name: OpName, given: Attrs): Attrs {
  const { attrs } = opOf(name);
  const all: Record<string, AttrValue> = {};
  for (const [key, spec] of Object.entries(attrs)) {
    const value = given[key] ?? spec.default;
    invariant(value !== undefined, () => `${name}: attribute ${key} is missing`);
    all[key] = value;
  }
  return all;
}
