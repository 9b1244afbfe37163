/** The native target's code against the kernel interpreter. */
import { describe, expect, test } from 'vitest';
import type { LlvmVariant } from '../compiler/7-emit/llvm.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { runKernels } from './helpers/kernel-run.ts';
import { bound, folder } from './helpers/native-compile.ts';
import { lacksNative, nativeRunner } from './helpers/native-run.ts';

const prompt = [3, 11, 60, 7, 25, 42];

describe.each(['avx2', 'avx512'] as const)('%s', (isa) => {
  const lacks = lacksNative(isa);
  test.skipIf(lacks !== '')(
    `as the kernel interpreter says, and the same for one thread and two${lacks}`,
    async () => {
      const variant: LlvmVariant = { os: 'linux', isa };
      const wanted = await runKernels(bound, folder, prompt);
      const one = await runKernels(bound, folder, prompt, undefined, nativeRunner(variant, 1));
      const two = await runKernels(bound, folder, prompt, undefined, nativeRunner(variant, 2));
      expect(one).toHaveLength(prompt.length);
      wanted.forEach((row, i) => {
        const found = one[i] ?? new Float32Array();
        expect(maxError([row], [found]) / deviationOf([row]), `row ${i}`).toBeLessThan(2e-4);
      });
      expect(two).toEqual(one);
    },
    60_000,
  );
});
