/** Template to typed model. */
import { symbol } from '../base/dim.ts';
import type { Log } from '../base/diagnostic.ts';
import type { Span } from '../base/source.ts';
import { present } from '../base/invariant.ts';
import type { TensorType } from '../base/type.ts';
import type { Hole, Template } from '../1-syntax/template.ts';
import { fromHole } from './arguments.ts';
import type { Body, Instance, Model, TypedExpr, WeightDecl } from './model.ts';
import { makeContext } from './statements.ts';

/**
 * The model that `template` is for these parameters, or undefined with mistakes in `log`. Its input
 * is token ids, i32 [t]; its result [t, vocab].
 */
export function checkModel(
  template: Template,
  params: Readonly<Record<string, Hole>>,
  log: Log,
): Model | undefined {
  const ctx = makeContext(log);
  const span: Span = { source: template.source, start: 0, end: 0 };
  const type: TensorType = { dtype: 'i32', shape: [symbol('t')] };
  const ids: TypedExpr = { kind: 'step', field: 'ids', span, types: [type] };
  const args = new Map(Object.entries(params).map(([name, h]) => [name, fromHole(h)]));
  const root = ctx.instantiate({ path: '', source: '', template, args, span: titleOf(span) }, [ids]);
  if (!root || log.failed) return undefined;
  const [input] = root.inputs;
  const [result] = root.results;
  return {
    name: root.block,
    params: root.params,
    input: present(input),
    body: root.body,
    result: present(result),
  };
}

/** The template's first word, which mistakes of the whole point at. */
function titleOf(span: Span): Span {
  const start = span.source.text.search(/\S/);
  const word = /^\w+/.exec(span.source.text.slice(start))?.[0] ?? ' ';
  return { source: span.source, start, end: start + word.length };
}

/** Every instance of a body, nested ones after their parent; layers of a loop once. */
export function* instancesOf(body: Body): Generator<Instance> {
  for (const i of body.instances) {
    yield i;
    yield* instancesOf(i.body);
  }
  for (const s of body.statements) {
    if (s.kind !== 'repeat') continue;
    for (const run of s.runs) for (const b of run.bodies) yield* instancesOf(b);
  }
}

/** A weight declaration and how many iterations of its loop there are. */
export interface DeclaredWeight {
  readonly weight: WeightDecl;
  readonly count: number;
}

export function* weightsOf(body: Body, count = 1): Generator<DeclaredWeight> {
  for (const weight of body.weights) yield { weight, count };
  for (const i of body.instances) yield* weightsOf(i.body, count);
  for (const s of body.statements) {
    if (s.kind !== 'repeat') continue;
    for (const run of s.runs) for (const b of run.bodies) yield* weightsOf(b, run.count);
  }
}
