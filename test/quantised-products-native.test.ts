/** Products with quantised matrices: native code against the interpreter's arithmetic. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { x86Machine } from '../compiler/5-kernel/machine.ts';
import { runKernels } from './helpers/kernel-run.ts';
import { missingTools, nativeRunner } from './helpers/native-run.ts';
import { errorIn, productCases, prompt } from './helpers/product-cases.ts';

const missing = missingTools();
const cpu = process.platform === 'linux' ? readFileSync('/proc/cpuinfo', 'utf8') : '';
const flags = { avx2: /\bf16c\b.*\bavx2\b|\bavx2\b.*\bf16c\b/, avx512: /\bavx512_vnni\b/ };

/** Instruction sets differ in how they multiply and look up bytes; else one is as good as all. */
const differs = /^q4_0|^q8_0|^q4_k x|^tables/;
const casesFor = (isa: keyof typeof flags) =>
  productCases
    .filter(({ name }) => isa === 'avx512' || !flags.avx512.test(cpu) || differs.test(name))
    .map((c) => [c.name, c] as const);

describe.each(['avx2', 'avx512'] as const)('native %s', (isa) => {
  const why = missing.length > 0 ? `skipped without ${missing.join(', ')}` : '';
  test.skipIf(why !== '' || !flags[isa].test(cpu)).each(casesFor(isa))(
    `%s ${why}`,
    async (_, c) => {
      const run = nativeRunner({ os: 'linux', isa }, 2);
      const found = await runKernels(c.bound, c.folder, prompt, undefined, run, x86Machine);
      expect(await errorIn(c, found)).toBeLessThan(c.tolerance);
    },
    60_000,
  );
});
