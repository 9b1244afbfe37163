/** Products with quantised matrices: kernels of every machine against the interpreter's arithmetic. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Machine, armMachine, wasmMachine, x86Machine } from '../compiler/5-kernel/machine.ts';
import {
  type BoundModel,
  type QuantScheme,
  type SheetSource,
  precision,
} from '../compiler/index.ts';
import { int4, int8, iq4_xs, mxfp4, q4_0, q4_k, q6_k, q8_0 } from '../stdlib/index.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { runKernels } from './helpers/kernel-run.ts';
import { bundleOf, loadBundle, referenceOf } from './helpers/models.ts';
import { missingTools, nativeRunner } from './helpers/native-run.ts';
import { randomCheckpoint } from './helpers/random-checkpoint.ts';

const { folder, bound } = randomCheckpoint({
  vocab: 35,
  width: 256,
  inner: 72,
  depth: 1,
  heads: 2,
  kvHeads: 1,
  head: 32,
  dtype: 'F32',
  context: 64,
});
const prompt = [3, 11, 30, 7, 25, 12];
const withSheet = (sheet: SheetSource): BoundModel => ({ ...bound, sheets: [sheet] });

const linear = (weights: QuantScheme, activations?: QuantScheme): BoundModel =>
  activations
    ? withSheet(precision`:linear { weights: ${weights}; activations: ${activations} }`)
    : withSheet(precision`:linear { weights: ${weights} } :embedding { weights: ${weights} }`);

/** Any small numbers as the values of codes of three bits. */
const powers: QuantScheme = {
  ...int4(32),
  name: 'powers',
  offset: 0,
  codes: {
    format: { kind: 'table', bits: 3, values: [-2, -1, -0.5, -0.25, 0, 0.5, 1, 2] },
    store: 'codes',
    pieces: [{ bits: 3, offset: 0, digits: [{ axis: 'k', step: 3 }, { axis: 'n', step: 3, times: { axis: 'k', per: 1 } }] }],
  },
}; // prettier-ignore

/** Codes that number a table: of numbers of one byte, and of such that any instruction multiplies. */
const tables = (...more: readonly SheetSource[]): BoundModel => {
  const weights = precision`:linear, :embedding { weights: ${iq4_xs} }
    **.gate_proj, **.down_proj { weights: ${mxfp4} } **.up_proj { weights: ${powers} }`;
  return { ...bound, sheets: [weights, ...more] };
};

const unsigned4 = int4(64);
const zeros4: QuantScheme = {
  ...unsigned4,
  name: 'zeros4',
  offset: 0,
  zero: {
    kind: 'integer',
    add: 0,
    field: {
      ...(unsigned4.scales[0] as NonNullable<(typeof unsigned4.scales)[0]>), // one level is there
      store: 'zeros',
      format: { kind: 'uint', bits: 4 },
      pieces: [{ bits: 4, offset: 0, digits: [{ axis: 'k', size: 64, step: 0 }, { axis: 'k', step: 4 }, { axis: 'n', step: 4, times: { axis: 'k', per: 64 } }] }],
    },
  },
}; // prettier-ignore

/** Codes of a whole byte from 0 on. */
const unsigned8: QuantScheme = {
  ...int8(32),
  name: 'unsigned8',
  offset: -128,
  codes: { ...int8(32).codes, format: { kind: 'uint', bits: 8 } },
};

const cases: readonly (readonly [string, BoundModel, number])[] = [
  ['q4_0, floats', linear(q4_0), 2e-4],
  ['q6_k, floats', linear(q6_k), 2e-4],
  ['q4_k, floats', linear(q4_k), 2e-4],
  ['q4_0 x int8(32)', linear(q4_0, int8(32)), 2e-3],
  ['q8_0 x int8(32)', linear(q8_0, int8(32)), 2e-3],
  ['q4_k x int8(32)', linear(q4_k, int8(32)), 2e-3],
  ['q6_k x int8(32)', linear(q6_k, int8(32)), 2e-3],
  ['int8 x int8: a scale a row', linear(int8(), int8()), 2e-3],
  ['uint8 x int8(32)', linear(unsigned8, int8(32)), 2e-3],
  ['int4(64) x int8(32)', linear(int4(64), int8(32)), 2e-3],
  ['tables, floats', tables(), 2e-4],
  ['tables x int8(32)', tables(precision`:linear { activations: ${int8(32)} }`), 2e-3],
  ['zeros of 4 bits x int8(32)', linear(zeros4, int8(32)), 2e-3],
];
/** Bytes of 8 bits tell arm64 from the others, and width of lanes from wasm. */
const machinesFor = (name: string): readonly Machine[] =>
  /^q8_0|^tables x/.test(name) ? [wasmMachine, x86Machine, armMachine] : [wasmMachine, x86Machine];

const wantedBy = new Map<BoundModel, Promise<readonly Float32Array[]>>();
const wantedOf = (model: BoundModel): Promise<readonly Float32Array[]> => {
  const wanted = wantedBy.get(model) ?? referenceOf(model, folder).then((m) => m.logits(prompt));
  wantedBy.set(model, wanted);
  return wanted;
};

const errorOf = (wanted: readonly Float32Array[], found: readonly Float32Array[]): number =>
  maxError(wanted, found) / deviationOf(wanted);

describe.each(cases)('%s', (name, model, tolerance) => {
  test('in the kernel interpreter, for each machine', async () => {
    const wanted = await wantedOf(model);
    for (const machine of machinesFor(name)) {
      const found = await runKernels(model, folder, prompt, undefined, undefined, machine);
      expect(errorOf(wanted, found), machine.name).toBeLessThan(tolerance);
    }
  }, 120_000);

  test('in wasm', async () => {
    const wanted = await wantedOf(model);
    const loaded = await loadBundle(await bundleOf(model, folder));
    expect(errorOf(wanted, await loaded.logits(prompt))).toBeLessThan(tolerance);
    loaded.close();
  }, 60_000);
});

const missing = missingTools();
const cpu = process.platform === 'linux' ? readFileSync('/proc/cpuinfo', 'utf8') : '';
const flags = { avx2: /\bf16c\b.*\bavx2\b|\bavx2\b.*\bf16c\b/, avx512: /\bavx512_vnni\b/ };

describe.each(['avx2', 'avx512'] as const)('native %s', (isa) => {
  const why = missing.length > 0 ? `skipped without ${missing.join(', ')}` : '';
  test.skipIf(why !== '' || !flags[isa].test(cpu)).each(cases)(
    `%s ${why}`,
    async (_, model, tolerance) => {
      const wanted = await wantedOf(model);
      const run = nativeRunner({ os: 'linux', isa }, 2);
      const found = await runKernels(model, folder, prompt, undefined, run, x86Machine);
      expect(errorOf(wanted, found)).toBeLessThan(tolerance);
    },
    60_000,
  );
});
