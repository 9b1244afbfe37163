/** The instances and weights of a body, layers of loops once or one by one. */
import { type Body, type Instance, type WeightDecl, nameAt } from './model.ts';

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

/** The weights of a model one by one, each with its own path and name in the checkpoint. */
export const concreteWeights = (body: Body): readonly WeightDecl[] => {
  const all = [...weightsOf(body)].flatMap(({ weight, count }) =>
    Array.from({ length: count }, (_, i) => weightAt(weight, i)),
  );
  return [...new Map(all.map((w) => [w.path, w])).values()];
};

export const weightAt = (weight: WeightDecl, iteration: number): WeightDecl => ({
  ...weight,
  path: nameAt(weight.path, iteration),
  source: nameAt(weight.source, iteration),
});

export function* weightsOf(body: Body, count = 1): Generator<DeclaredWeight> {
  for (const weight of body.weights) yield { weight, count };
  for (const i of body.instances) yield* weightsOf(i.body, count);
  for (const s of body.statements) {
    if (s.kind !== 'repeat') continue;
    for (const run of s.runs) for (const b of run.bodies) yield* weightsOf(b, run.count);
  }
}
