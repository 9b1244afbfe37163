/** No text crashes or hangs the compiler; `npm run fuzz` tries 100,000. */
import { expect, test } from 'vitest';
import { bear, inputOf } from './helpers/fuzz.ts';

const count = 3000;
/** A hang, in milliseconds of this process. */
const longest = 1000;

test(`${count} inputs are borne, and half of them reach the checker`, () => {
  let checked = 0;
  const slow: number[] = [];
  for (let seed = 1_000_000; seed < 1_000_000 + count; seed++) {
    try {
      const outcome = bear(inputOf(seed));
      if (outcome.checked) checked++;
      if (outcome.milliseconds > longest) slow.push(seed);
    } catch (e) {
      throw new Error(`seed ${seed}: ${inputOf(seed).template.source.text}`, { cause: e });
    }
  }
  expect(slow).toEqual([]);
  expect(checked).toBeGreaterThan(count / 2);
}, 120_000);
