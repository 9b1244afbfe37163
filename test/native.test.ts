/** The native target's code against the kernel interpreter. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { LlvmVariant } from '../compiler/7-emit/llvm.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { runKernels } from './helpers/kernel-run.ts';
import { missingTools, nativeRunner } from './helpers/native-run.ts';
import { type RandomShape, randomCheckpoint } from './helpers/random-checkpoint.ts';

const missing = missingTools();
const skipTools = missing.length > 0 ? `skipped without ${missing.join(', ')}` : '';
const cpu = process.platform === 'linux' ? readFileSync('/proc/cpuinfo', 'utf8') : '';
const runs = (isa: string): boolean =>
  process.arch === 'x64' &&
  new RegExp(isa === 'avx512' ? '\\bavx512_vnni\\b' : '\\bf16c\\b.*\\bavx2\\b').test(cpu);

const shape: RandomShape = {
  vocab: 67,
  width: 48,
  inner: 41,
  depth: 2,
  heads: 4,
  kvHeads: 2,
  head: 16,
  dtype: 'BF16',
  context: 256,
};
const { folder, bound } = randomCheckpoint(shape);
const prompt = [3, 11, 60, 7, 25, 42];

describe.each(['avx2', 'avx512'] as const)('%s', (isa) => {
  test.skipIf(skipTools !== '' || !runs(isa))(
    `as the kernel interpreter says, and the same for one thread and two ${skipTools}`,
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
