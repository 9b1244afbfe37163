/** Products with quantised matrices: native code against the interpreter's arithmetic. */
import { describe, expect, test } from 'vitest';
import { x86Machine } from '../compiler/5-kernel/machine.ts';
import { runKernels } from './helpers/kernel-run.ts';
import { lacksNative, nativeRunner } from './helpers/native-run.ts';
import { errorIn, productCases, prompt } from './helpers/product-cases.ts';

/** Instruction sets differ in how they multiply and look up bytes; else one is as good as all. */
const differs = /^q4_0|^q8_0|^q4_k x|^tables/;
const casesFor = (isa: 'avx2' | 'avx512') =>
  productCases
    .filter(({ name }) => isa === 'avx512' || lacksNative('avx512') !== '' || differs.test(name))
    .map((c) => [c.name, c] as const);

describe.each(['avx2', 'avx512'] as const)('native %s', (isa) => {
  const lacks = lacksNative(isa);
  test.skipIf(lacks !== '').each(casesFor(isa))(
    `%s${lacks}`,
    async (_, c) => {
      const run = nativeRunner({ os: 'linux', isa }, 2);
      const found = await runKernels(c.bound, c.folder, prompt, undefined, run, x86Machine);
      expect(await errorIn(c, found)).toBeLessThan(c.tolerance);
    },
    60_000,
  );
});
