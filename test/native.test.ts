/** The native target's code against the kernel interpreter, and its objects for other systems. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import { compileProgram } from '../compiler/compile.ts';
import { readCheckpoint } from '../compiler/8-bundle/checkpoint.ts';
import { type LlvmVariant, emitLlvm } from '../compiler/7-emit/llvm.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { runKernels } from './helpers/kernel-run.ts';
import { missingTools, nativeRunner, objectOf } from './helpers/native-run.ts';
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

const formats = { linux: /ELF|elf64/, macos: /Mach-O/, windows: /COFF/ };
const instruction = { avx2: /vfmadd.*ymm|vfmadd.*xmm/, avx512: /vfmadd/, arm64: /fmla/ };

test
  .skipIf(skipTools !== '')
  .each(
    (['linux', 'macos', 'windows'] as const).flatMap((os) =>
      (['avx2', 'avx512', 'arm64'] as const).map((isa) => ({ os, isa })),
    ),
  )(
  `an object for $os, $isa, that needs nothing ${skipTools}`,
  async (variant) => {
    const checkpoint = await readCheckpoint(nodeFiles, folder);
    const { program } = compileProgram(bound, checkpoint, { limits: { tokens: 4, rows: 4 } });
    const object = await objectOf(emitLlvm(program, variant), variant);
    const tool = (name: string, ...args: string[]): string =>
      execFileSync(name, [...args, object], { encoding: 'utf8', maxBuffer: 1 << 28 });
    expect(tool('llvm-readobj-14', '--file-headers')).toMatch(formats[variant.os]);
    expect(tool('llvm-objdump-14', '-d')).toMatch(instruction[variant.isa]);
    const symbols = tool('llvm-objdump-14', '-t').split('\n');
    expect(symbols.some((l) => /\b_?step$/.test(l))).toBe(true);
    const undefinedOnes =
      variant.os === 'windows' ? /\(sec\s+0\).*\s(\S+)$/ : /\*UND\*\s*\S*\s*(\S+)$/;
    expect(symbols.flatMap((l) => undefinedOnes.exec(l)?.[1] ?? [])).toEqual([]);
  },
  60_000,
);
