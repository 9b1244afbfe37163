/** Sizes that are not known yet. */
import { expect, test } from 'vitest';
import { addDim, mulDim, quotientDim, sameDim, showDim, symbol } from '../compiler/base/dim.ts';
import { makeLog } from '../compiler/base/diagnostic.ts';
import { checkBlock } from '../compiler/2-model/check.ts';
import { block } from '../compiler/index.ts';

const [a, b, c] = [symbol('a'), symbol('b'), symbol('c')];

test('a product with a quotient is what was divided', () => {
  expect(sameDim(mulDim(b, quotientDim(a, b)), a)).toBe(true);
  expect(sameDim(mulDim(quotientDim(addDim(a, c), b), b), addDim(a, c))).toBe(true);
  expect(sameDim(quotientDim(a, quotientDim(b, c)), quotientDim(mulDim(a, c), b))).toBe(true);
  expect(sameDim(mulDim(c, quotientDim(a, b)), a)).toBe(false);
  expect(showDim(quotientDim(a, b))).toBe('a / b');
});

test('axes are split by a parameter in a block that is checked alone', () => {
  const split = block`
    split(x: [t, n]; groups: int) -> [t, n] {
      y = x as [t, groups, n / groups]
      return y as [t, n]
    }
  `;
  const wrong = block`
    split(x: [t, n]; groups: int, other: int) -> [t, n] {
      y = x as [t, other, n / groups]
      return y as [t, n]
    }
  `;
  const codesOf = (template: typeof split): readonly string[] => {
    const log = makeLog();
    checkBlock(template, log);
    return log.diagnostics().map((d) => d.code);
  };
  expect(codesOf(split)).toEqual([]);
  expect(codesOf(wrong)).toEqual(['shape/reshape']);
});
