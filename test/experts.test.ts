/** Products with chosen experts: tokens that share one's matrix, on every machine, in any company. */
import { describe, expect, test } from 'vitest';
import {
  type SimdMachine,
  armMachine,
  wasmMachine,
  x86Machine,
} from '../compiler/5-kernel/machine.ts';
import {
  type BoundModel, type QuantScheme, type SheetSource, type Template, bind, model, precision,
} from '../compiler/index.ts'; // prettier-ignore
import {
  gatedShared, int8, q4_0, q8_0, softmaxThenTop, swigluExperts, topThenSoftmax,
} from '../stdlib/index.ts'; // prettier-ignore
import { deviationOf, maxError } from './helpers/golden.ts';
import { runKernels } from './helpers/kernel-run.ts';
import { bundleOf, loadBundle, referenceOf } from './helpers/models.ts';
import { lacksNative, nativeRunner } from './helpers/native-run.ts';
import { makeRandom } from './helpers/random-checkpoint.ts';
import { checkpointOf } from './helpers/random-weights.ts';

/** No numbers of columns are those of whole units. */
const [vocab, width, experts, active] = [16, 40, 7, 3];
const [favourite, outcast] = [6, 2];

/** Three experts of seven and a residual. */
const mixture = model`
  mixture(ids: i32 [t]) -> [t, 40] {
    weight embed: [16, 40]
    use gate = ${topThenSoftmax}(experts = 7, active = 3)
    use experts = ${swigluExperts}(experts = 7, inner = 24)
    x = embed[ids]
    share, chosen = gate(x)
    return x + experts(x, share, chosen)
  }
`;
/** The best expert alone: no slots to sum. */
const best = model`
  best(ids: i32 [t]) -> [t, 40] {
    weight embed: [16, 40]
    use gate = ${softmaxThenTop}(experts = 7, active = 1)
    use experts = ${swigluExperts}(experts = 7, inner = 24)
    x = embed[ids]
    share, chosen = gate(x)
    return experts(x, share, chosen)
  }
`;
/** Units of chosen experts and of one that every token goes through, added up. */
const shared = model`
  shared(ids: i32 [t]) -> [t, 40] {
    weight embed: [16, 40]
    use mlp = ${gatedShared}(experts = 7, active = 3, inner = 24, shared = 24)
    return mlp(embed[ids])
  }
`;

const random = makeRandom(3);
const draw = (n: number): number[] => Array.from({ length: n }, () => random() / 2);
/** The first element of a token is 1: the first weight of an expert's router is its bias. */
const embed = draw(vocab * width).map((v, i) => (i % width === 0 ? 1 : v));
const gate = draw(experts * width).map((v, i) => {
  if (i % width !== 0) return v;
  return i / width === favourite ? 2 : i / width === outcast ? -4 : 0;
});
const given = new Map([
  ['embed', embed],
  ['gate.weight', gate],
  ['mlp.gate.weight', gate],
]);
const prompt = Array.from({ length: 33 }, (_, i) => (i * 7 + 3) % vocab);

interface Case {
  readonly bound: BoundModel;
  readonly folder: string;
  readonly tolerance: number;
}
const caseOf = (template: Template, tolerance: number, ...sheets: SheetSource[]): Case => {
  const bound = bind(template);
  return { bound: { ...bound, sheets }, folder: checkpointOf(bound, given), tolerance };
};
const codes = (template: Template, weights: QuantScheme): Case =>
  caseOf(template, 2e-3, precision`**.gate_proj, **.up_proj, **.down_proj { weights: ${weights}; activations: ${int8(32)} }`); // prettier-ignore

const cases: Readonly<Record<string, Case>> = {
  'three of seven, floats': caseOf(mixture, 2e-4),
  'three of seven, floats times q4_0': caseOf(mixture, 2e-4, precision`**.gate_proj, **.up_proj, **.down_proj { weights: ${q4_0} }`),
  'three of seven, q4_0': codes(mixture, q4_0),
  'three of seven, q8_0': codes(mixture, q8_0),
  'the best, floats': caseOf(best, 2e-4),
  'the best, q4_0': codes(best, q4_0),
  'beside a shared one, floats': caseOf(shared, 2e-4),
  'beside a shared one, q4_0': codes(shared, q4_0),
}; // prettier-ignore

/** Blocks of eight tokens, of which the last has one. */
const small: SimdMachine = { ...wasmMachine, name: 'small', staged: 8, stagedBytes: 0 };
const machinesFor = (name: string): readonly SimdMachine[] =>
  /^three of seven, q/.test(name)
    ? [wasmMachine, x86Machine, armMachine, small]
    : [wasmMachine, x86Machine];
const flat = (rows: readonly Float32Array[]): number[] => rows.flatMap((r) => [...r]);

test('all tokens choose one of the experts, none another', () => {
  for (let token = 0; token < vocab; token++) {
    const logits = Array.from({ length: experts }, (_, e) =>
      Array.from({ length: width }, (_n, i) => (embed[token * width + i] ?? 0) * (gate[e * width + i] ?? 0)),
    ).map((terms) => terms.reduce((a, b) => a + b)); // prettier-ignore
    const order = [...logits.keys()].sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0));
    expect([order[0], order.at(-1)]).toEqual([favourite, outcast]);
  }
  expect(active * prompt.length).toBeGreaterThan(2 * experts);
});

describe.each(Object.entries(cases))('%s', (name, { bound, folder, tolerance }) => {
  const wanted = referenceOf(bound, folder).then((m) => m.logits(prompt));
  const errorIn = async (found: readonly Float32Array[]): Promise<number> => {
    const rows = (await wanted).slice(0, found.length);
    return maxError(rows, found) / deviationOf(await wanted);
  };

  test.each(machinesFor(name).map((m) => [m.name, m] as const))(
    'in the kernel interpreter, for %s: the same in steps of any size',
    async (_name, machine) => {
      const run = (steps: readonly number[]) =>
        runKernels(bound, folder, prompt, undefined, undefined, machine, steps);
      const whole = await run([33]);
      expect(whole).toHaveLength(33);
      expect(await errorIn(whole)).toBeLessThan(tolerance);
      expect(flat(await run([1, 2, 7, 23]))).toEqual(flat(whole));
    },
    60_000,
  );

  test('in wasm, alone and beside another sequence', async () => {
    const bundle = await bundleOf(bound, folder);
    for (const threads of [1, 2]) {
      const loaded = await loadBundle(bundle, { threads });
      const whole = await loaded.logits(prompt);
      expect(await errorIn(whole)).toBeLessThan(tolerance);
      const other = prompt.map((id) => (id + 5) % vocab).slice(0, 9);
      for (const count of [1, 2, 7, 33]) {
        const [a, b] = await Promise.all([
          loaded.logits(prompt.slice(0, count)),
          loaded.logits(other),
        ]);
        expect(flat(a)).toEqual(flat(whole.slice(0, count)));
        expect(flat(b)).toEqual(flat(await loaded.logits(other)));
      }
      loaded.close();
    }
  }, 60_000);

  describe.each(['avx2', 'avx512'] as const)('native %s', (isa) => {
    const lacks = lacksNative(isa);
    test.skipIf(lacks !== '')(
      `as interpreted, the same in steps of any size${lacks}`,
      async () => {
        const native = nativeRunner({ os: 'linux', isa }, 3);
        const run = (steps: readonly number[]) =>
          runKernels(bound, folder, prompt, undefined, native, x86Machine, steps);
        const whole = await run([33]);
        expect(await errorIn(whole)).toBeLessThan(tolerance);
        expect(flat(await run([1, 2, 7, 23]))).toEqual(flat(whole));
      },
      60_000,
    );
  });
});
