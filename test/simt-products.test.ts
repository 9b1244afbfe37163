/** Products with weights in workgroups: kernels against the interpreter's arithmetic, in both forms. */
import { describe, expect, test } from 'vitest';
import { present } from '../compiler/base/invariant.ts';
import { type BoundModel, type SheetSource, bind, model, precision } from '../compiler/index.ts';
import { simtMachine } from '../compiler/5-kernel/machine.ts';
import { makeRaceLog } from '../compiler/5-kernel/races.ts';
import { type LaunchCounts, makeCounts } from '../compiler/5-kernel/simt/counts.ts';
import { interpretProgram } from '../compiler/6-program/interpret.ts';
import { gatedShared, int8, q4_0, q6_k } from '../stdlib/index.ts';
import { type StepRunner, runKernels } from './helpers/kernel-run.ts';
import { type ProductCase, errorIn, productCases, prompt } from './helpers/product-cases.ts';
import { randomCheckpoint } from './helpers/random-checkpoint.ts';
import { checkpointOf } from './helpers/random-weights.ts';

/** Tokens of steps: some together, one by itself. */
const both = [4, 1, 1];

const rowsOf = (
  { bound, folder }: ProductCase,
  steps: readonly number[],
  run?: StepRunner,
): Promise<readonly Float32Array[]> =>
  runKernels(bound, folder, prompt, undefined, run, simtMachine, steps);

const models: readonly ProductCase[] = (['F32', 'BF16', 'F16'] as const).map((dtype) => {
  const shape = { vocab: 35, width: 36, inner: 21, depth: 1, heads: 2, kvHeads: 1, head: 6 };
  const { bound, folder } = randomCheckpoint({ ...shape, dtype, context: 64 });
  return { name: dtype, bound, folder, tolerance: 2e-4 };
});

const routed = model`
  routed(ids: i32 [t]) -> [t, 64] {
    weight embed: [32, 64]
    use mlp = ${gatedShared}(experts = 4, active = 3, inner = 96, shared = 40, renormalise = true)
    return mlp(embed[ids])
  }
`;
/** Two groups that read one operand, and columns that fill no unit. */
const uneven = model`
  uneven(ids: i32 [t]) -> [t, 39] {
    weight embed: [32, 288], a: [50, 288], b: [39, 288], c: [39, 50]
    x = embed[ids]
    y = x @ a.T
    return (y * y) @ c.T + x @ b.T
  }
`;

const caseOf = (name: string, bound: BoundModel, tolerance: number): ProductCase => {
  const folder = checkpointOf({ ...bound, sheets: [] }, new Map());
  return { name, bound, folder, tolerance };
};
const codes: SheetSource = precision`:linear { weights: ${q4_0}; activations: ${int8(32)} }`;
const own: readonly ProductCase[] = [
  caseOf('experts, floats', bind(routed), 2e-4),
  caseOf('experts, codes', { ...bind(routed), sheets: [codes] }, 2e-3),
  caseOf('groups of one operand, floats', bind(uneven), 2e-4),
  caseOf('groups of one operand, codes', { ...bind(uneven), sheets: [codes] }, 2e-3),
];

describe('agree with the interpreter', () => {
  const all = [...productCases, ...models, ...own].map((c) => [c.name, c] as const);
  test.each(all)(
    '%s',
    async (_, c) => {
      expect(await errorIn(c, await rowsOf(c, both))).toBeLessThan(c.tolerance);
    },
    60_000,
  );
});

const square = model`
  square(ids: i32 [t]) -> [t, 256] {
    weight embed: [32, 1024], a: [256, 1024]
    x = embed[ids]
    return (x * 2.0) @ a.T
  }
`;
const weights = (scheme: SheetSource): ProductCase =>
  caseOf('square', { ...bind(square), sheets: [scheme] }, 0);

test.each([
  ['floats', bind(square)],
  ['codes', weights(precision`a { weights: ${q4_0}; activations: ${int8(32)} }`).bound],
  ['scales of rows', weights(precision`a { weights: ${q6_k}; activations: ${int8()} }`).bound],
])('the same bits whatever tokens come together: %s', async (name, bound) => {
  const c = caseOf(name, bound, 0);
  expect(await rowsOf(c, [6])).toEqual(await rowsOf(c, [1, 3, 1, 1]));
});

test('one token passes over a matrix once, in whole lines, and no thread idles', async () => {
  const c = weights(precision`a { weights: ${q4_0}; activations: ${int8(32)} }`);
  let counts: readonly LaunchCounts[] = [];
  await rowsOf(c, [1], (program, m, sizes) => {
    const seen = makeCounts(m.memory.byteLength);
    interpretProgram(program, m, sizes, makeRaceLog(m.memory.byteLength), seen);
    counts = seen.launches;
    return Promise.resolve();
  });
  const found = present(counts.find((l) => l.kernel.startsWith('a')));
  const bytes = (256 * 1024 * 4.5) / 8;
  expect(found.read).toBeGreaterThan(bytes);
  expect(found.read).toBeLessThan(1.05 * bytes);
  expect((found.coalesced + found.uniform) / found.loaded).toBeGreaterThan(0.95);
  expect(1 - found.busy / found.slots).toBeLessThan(0.05);
  expect(found.sharedTurns / found.sharedAccesses).toBeLessThan(2);
});
