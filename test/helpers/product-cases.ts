/** Models with quantised matrices of every kind that products have kernels for. */
import {
  type BoundModel,
  type QuantScheme,
  type SheetSource,
  precision,
} from '../../compiler/index.ts';
import { int4, int8, iq4_xs, mxfp4, q4_0, q4_k, q6_k, q8_0 } from '../../stdlib/index.ts';
import { deviationOf, maxError } from './golden.ts';
import { referenceOf } from './models.ts';
import { randomCheckpoint } from './random-checkpoint.ts';

const checkpoint = (width: number) =>
  randomCheckpoint({
    vocab: 35,
    width,
    inner: 72,
    depth: 1,
    heads: 2,
    kvHeads: 1,
    head: 32,
    dtype: 'F32',
    context: 64,
  });

type Source = ReturnType<typeof checkpoint>;
/** As many columns as the largest blocks have; and fewer, no whole number of blocks. */
const wide = checkpoint(256);
const narrow = checkpoint(160);

export const prompt = [3, 11, 30, 7, 25, 12];

/** A quantised model, its checkpoint, and by how much of a deviation kernels may differ. */
export interface ProductCase {
  readonly name: string;
  readonly bound: BoundModel;
  readonly folder: string;
  readonly tolerance: number;
}

const caseOf = (
  name: string,
  { folder, bound }: Source,
  tolerance: number,
  ...sheets: readonly SheetSource[]
): ProductCase => ({ name, bound: { ...bound, sheets }, folder, tolerance });

const floats = (weights: QuantScheme, source: Source = narrow): ProductCase => {
  const sheet = precision`:linear { weights: ${weights} } :embedding { weights: ${weights} }`;
  return caseOf(`${weights.name}, floats`, source, 2e-4, sheet);
};

const codes = (
  weights: QuantScheme,
  activations: QuantScheme,
  source: Source = narrow,
): ProductCase => {
  const sheet = precision`:linear { weights: ${weights}; activations: ${activations} }`;
  return caseOf(`${weights.name} x ${activations.name}`, source, 2e-3, sheet);
};

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
const tables = precision`:linear, :embedding { weights: ${iq4_xs} }
  **.gate_proj, **.down_proj { weights: ${mxfp4} } **.up_proj { weights: ${powers} }`;

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

export const productCases: readonly ProductCase[] = [
  floats(q4_0),
  floats(q6_k, wide),
  floats(q4_k, wide),
  caseOf('tables, floats', narrow, 2e-4, tables),
  codes(q4_0, int8(32)),
  codes(q8_0, int8(32)),
  codes(q4_k, int8(32), wide),
  codes(q6_k, int8(32), wide),
  codes(int8(), int8()),
  codes(unsigned8, int8(32)),
  codes(int4(64), int8(32)),
  codes(zeros4, int8(32)),
  caseOf('tables x int8_32', wide, 2e-3, tables, precision`:linear { activations: ${int8(32)} }`),
];

const references = new Map<ProductCase, Promise<readonly Float32Array[]>>();

/** How far logits are from those of the interpreter's arithmetic, in their deviation. */
export async function errorIn(c: ProductCase, found: readonly Float32Array[]): Promise<number> {
  const wanted = references.get(c) ?? referenceOf(c.bound, c.folder).then((m) => m.logits(prompt));
  references.set(c, wanted);
  const rows = await wanted;
  return maxError(rows, found) / deviationOf(rows);
}
