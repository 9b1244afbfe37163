/** Formats that keep codes, scales and zeros in tensors of their own: GPTQ, AWQ, FP8, int8. */
import {
  type Digit,
  type Level,
  type NumberFormat,
  type QuantScheme,
  defineScheme,
  e4m3Format,
  f16Format,
  f32Format,
} from '../../compiler/index.ts';

type Axis = Digit['axis'];

/** A row-major tensor over groups of both axes: `slow` changes slowest. */
const grid = (
  store: string,
  format: NumberFormat,
  bits: number,
  group: { readonly n: number; readonly k: number },
  slow: Axis,
): Level => {
  const fast: Axis = slow === 'n' ? 'k' : 'n';
  const shared = (axis: Axis): readonly Digit[] =>
    group[axis] === 1 ? [] : group[axis] === 0 ? [{ axis, step: 0 }] : [{ axis, size: group[axis], step: 0 }]; // prettier-ignore
  const rest = (axis: Axis, digit: Digit): readonly Digit[] => (group[axis] === 0 ? [] : [digit]);
  return {
    format,
    store,
    group,
    pieces: [
      {
        bits,
        offset: 0,
        digits: [
          ...shared('n'),
          ...shared('k'),
          ...rest(fast, { axis: fast, step: bits }),
          ...rest(slow, {
            axis: slow,
            step: bits,
            ...(group[fast] === 0 ? {} : { times: { axis: fast, per: group[fast] } }),
          }),
        ],
      },
    ],
  };
};

/**
 * GPTQ with 2, 4 or 8 bits and groups of `group` inputs (0: all): words of 32 bits along k, then n;
 * zeros packed along n. `version` 1 keeps zero - 1. Natural order of inputs (no `g_idx`).
 */
export function gptq(bits: 2 | 4 | 8, group: number, version: 1 | 2 = 1): QuantScheme {
  const word = 32 / bits;
  const outer: readonly Digit[] =
    group === 0 ? [{ axis: 'k', step: 0 }] : [{ axis: 'k', size: group, step: 0 }, { axis: 'k', step: 32, times: { axis: 'n', per: word } }]; // prettier-ignore
  return defineScheme({
    name: `gptq_${bits}_${group}`,
    codes: {
      format: { kind: 'uint', bits },
      store: 'qweight',
      pieces: [
        {
          bits,
          offset: 0,
          digits: [
            { axis: 'k', size: word, step: bits },
            { axis: 'n', step: 32 },
            { axis: 'k', step: 32, times: { axis: 'n', per: 1 } },
          ],
        },
      ],
    },
    scales: [grid('scales', f16Format, 16, { n: 1, k: group }, 'k')],
    zero: {
      kind: 'integer',
      add: version === 1 ? 1 : 0,
      field: {
        format: { kind: 'uint', bits },
        store: 'qzeros',
        group: { n: 1, k: group },
        pieces: [
          {
            bits,
            offset: 0,
            digits: [{ axis: 'n', size: word, step: bits }, { axis: 'n', step: 32 }, ...outer],
          },
        ],
      },
    },
  });
}

/** AWQ's GEMM layout: words along n, even columns in the low half, odd ones in the high half. */
export function awq(group: number): QuantScheme {
  const order: readonly Digit[] = [
    { axis: 'n', size: 2, step: 16 },
    { axis: 'n', size: 4, step: 4 },
    { axis: 'n', step: 32 },
  ];
  const uint4: NumberFormat = { kind: 'uint', bits: 4 };
  return defineScheme({
    name: `awq_${group}`,
    codes: {
      format: uint4,
      store: 'qweight',
      pieces: [
        {
          bits: 4,
          offset: 0,
          digits: [...order, { axis: 'k', step: 32, times: { axis: 'n', per: 8 } }],
        },
      ],
    },
    scales: [grid('scales', f16Format, 16, { n: 1, k: group }, 'k')],
    zero: {
      kind: 'integer',
      add: 0,
      field: {
        format: uint4,
        store: 'qzeros',
        group: { n: 1, k: group },
        pieces: [
          {
            bits: 4,
            offset: 0,
            digits: [
              ...order,
              { axis: 'k', size: group, step: 0 },
              { axis: 'k', step: 32, times: { axis: 'n', per: 8 } },
            ],
          },
        ],
      },
    },
  });
}

/** FP8 (E4M3) with an f32 factor for each block of `block` by `block` (DeepSeek-V3). */
export const fp8Blocks = (block: number): QuantScheme =>
  defineScheme({
    name: `fp8_${block}`,
    codes: grid('weight', e4m3Format, 8, { n: 1, k: 1 }, 'n'),
    scales: [grid('weight_scale_inv', f32Format, 32, { n: block, k: block }, 'n')],
  });

/** Signed integers with an f32 scale a row (0) or for each group of `group` inputs. */
export const int8 = (group = 0): QuantScheme =>
  defineScheme({
    name: group === 0 ? 'int8' : `int8_${group}`,
    codes: grid('weight', { kind: 'int', bits: 8 }, 8, { n: 1, k: 1 }, 'n'),
    scales: [grid('weight_scale', f32Format, 32, { n: 1, k: group }, 'n')],
  });

/** Signed 4-bit integers, low nibble first, with an f16 scale for each group of `group` inputs. */
export const int4 = (group: number): QuantScheme =>
  defineScheme({
    name: `int4_${group}`,
    codes: grid('weight_packed', { kind: 'uint', bits: 4 }, 4, { n: 1, k: 1 }, 'n'),
    offset: -8,
    scales: [grid('weight_scale', f16Format, 16, { n: 1, k: group }, 'n')],
  });

/** FP8 (E4M3), an f32 factor a row: activations a token, keys and values a head. */
export const fp8: QuantScheme = defineScheme({
  name: 'fp8',
  codes: grid('weight', e4m3Format, 8, { n: 1, k: 1 }, 'n'),
  scales: [grid('weight_scale', f32Format, 32, { n: 1, k: 0 }, 'n')],
});
