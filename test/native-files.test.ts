/** Native libraries for every system, looked into with LLVM's own tools: most cannot run here. */
import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import { openNativeTools } from '../compiler/cli/native-tools.ts';
import { compileProgram } from '../compiler/compile.ts';
import { CompilerBug } from '../compiler/base/invariant.ts';
import { loop, store } from '../compiler/5-kernel/statements.ts';
import { readCheckpoint } from '../compiler/8-bundle/checkpoint.ts';
import { type LlvmVariant, emitLlvm } from '../compiler/7-emit/llvm.ts';
import {
  type NativeTools,
  libraryFile,
  nativeVariants,
  variantName,
} from '../compiler/7-emit/native.ts';
import { half, load, mul, toHalf, variable } from '../compiler/scalar/expr.ts';
import { fixture } from './helpers/golden.ts';
import { familyModel, temporaryFolder } from './helpers/models.ts';
import { compiledWith, limits } from './helpers/native-compile.ts';
import { missingTools } from './helpers/native-run.ts';
import { dotKernel, kernelOver, programOf } from './helpers/one-kernel.ts';

const missing = missingTools();
const note = missing.length > 0 ? ` (skipped without ${missing.join(', ')})` : '';
const skip = missing.length > 0;
const words = 32;

/** What llvm's own tools say of a file. */
const look = (tool: string, ...args: readonly string[]): string =>
  execFileSync(`${tool}-14`, args, { encoding: 'utf8', maxBuffer: 1 << 28 });

const formats: Record<LlvmVariant['os'], Record<'x64' | 'arm64', RegExp>> = {
  linux: { x64: /^Format: elf64-x86-64$/m, arm64: /^Format: elf64-littleaarch64$/m },
  macos: { x64: /^Format: Mach-O 64-bit x86-64$/m, arm64: /^Format: Mach-O arm64$/m },
  windows: { x64: /^Format: COFF-x86-64$/m, arm64: /^Format: COFF-ARM64$/m },
};

/** Names that a library gives to others. */
function exportsOf(file: string, os: LlvmVariant['os']): readonly string[] {
  if (os === 'windows') {
    const found = look('llvm-readobj', '--coff-exports', file).matchAll(/^ {2}Name: (\S+)$/gm);
    return [...found].map(([, name]) => name ?? '');
  }
  const dynamic = os === 'linux' ? ['-D'] : ['-g'];
  const lines = look('llvm-nm', '--defined-only', ...dynamic, file)
    .trim()
    .split('\n');
  return lines.map((l) => l.split(' ').at(-1) ?? '');
}

/** Anything that a library wants from others, or from its loader. */
function needsOf(file: string, os: LlvmVariant['os']): string {
  switch (os) {
    case 'linux': {
      const symbols = look('llvm-nm', '-D', '--undefined-only', file);
      const rest = look('llvm-readobj', '--dynamic-table', '--relocations', file);
      return symbols + [...rest.matchAll(/NEEDED.*|TEXTREL.*|R_(?:X86|AARCH)64_.*/g)].join('\n');
    }
    case 'macos': {
      const loads = look('llvm-objdump', '--macho', '-p', file).match(/LC_LOAD_.*DYLIB/g) ?? [];
      return look('llvm-nm', '--undefined-only', file) + loads.join('\n');
    }
    case 'windows': {
      const entry = /AddressOfEntryPoint: (?!0x0$).*/m.exec(
        look('llvm-readobj', '--file-headers', file),
      );
      const imports = look('llvm-readobj', '--coff-imports', '--coff-basereloc', file);
      return (
        [...imports.matchAll(/^ +Name:.*|Type: (?!ABSOLUTE).*/gm)].join('\n') + (entry?.[0] ?? '')
      );
    }
  }
}

describe.skipIf(skip)(`libraries${note}`, () => {
  const written = skip
    ? Promise.resolve('')
    : openNativeTools().then((tools) => compiledWith(tools, 'native'));

  test.each(nativeVariants)(
    'for $os, $isa: its format, step alone, nothing needed, instructions of the set',
    async (v) => {
      const file = join(await written, libraryFile(v));
      const arch = v.isa === 'arm64' ? 'arm64' : 'x64';
      expect(look('llvm-readobj', '--file-headers', file)).toMatch(formats[v.os][arch]);
      expect(exportsOf(file, v.os)).toEqual([v.os === 'macos' ? '_step' : 'step']);
      expect(needsOf(file, v.os)).toBe('');
      const code = look('llvm-objdump', '-d', '--no-show-raw-insn', file);
      expect(code).toMatch(
        { avx2: /vfmadd\d+ps.*%[xy]mm/, avx512: /vfmadd\d+ps.*%[xyz]mm/, arm64: /\bfmla\b/ }[v.isa],
      );
      if (v.isa !== 'avx512') expect(code).not.toMatch(/%zmm|%k[1-7]\b/);
    },
    60_000,
  );

  test.each(nativeVariants)(
    'for $os, $isa: byte products by the instructions of the set',
    async (v) => {
      const { object, link } = await openNativeTools();
      const kernel = dotKernel(
        words,
        v.isa === 'arm64' ? 's8s8' : 'u8s8',
        v.isa === 'avx512' ? 16 : 4,
      );
      const file = join(temporaryFolder(), 'dots');
      writeFileSync(
        file,
        await link(await object(emitLlvm(programOf(kernel, 12 * words), v), v), v),
      );
      const more = v.isa === 'arm64' ? ['--mattr=+dotprod'] : [];
      const code = look('llvm-objdump', '-d', '--no-show-raw-insn', ...more, file);
      const wanted = { avx512: /vpdpbusd.*%zmm/, arm64: /\bsdot\b/, avx2: /vpmull|vpmadd/ };
      expect(code).toMatch(wanted[v.isa]);
    },
  );

  test.each(nativeVariants)('for $os, $isa: f16 without a C runtime', async (v) => {
    const { object, link } = await openNativeTools();
    const i = variable('i');
    const body = [1, 4, 16].map((lanes) => {
      const wide = half(load('x', i, 'i32', lanes));
      const stored = store('y', i, toHalf(mul(wide, wide)));
      return loop('i', 0, words, [stored], lanes > 1 ? 'vector' : 'serial', lanes);
    });
    const program = programOf(kernelOver({ x: 'i32', y: 'i32' }, body), 8 * words);
    const file = join(temporaryFolder(), 'halves');
    writeFileSync(file, await link(await object(emitLlvm(program, v), v), v));
    expect(needsOf(file, v.os)).toBe('');
    const code = look('llvm-objdump', '-d', '--no-show-raw-insn', file);
    expect(code).toMatch(v.isa === 'arm64' ? /\bfcvtl?\b/ : /vcvtph2ps/);
  });

  test.each(['deepseek_v3', 'smallthinker_21b'])(
    'of %s need nothing either',
    async (family) => {
      const { object, link } = await openNativeTools();
      const place = fixture(`goldens/${family}`);
      const checkpoint = await readCheckpoint(nodeFiles, place);
      const { program } = compileProgram(familyModel(place), checkpoint, { limits });
      const some: readonly LlvmVariant[] = [
        { os: 'linux', isa: 'arm64' },
        { os: 'macos', isa: 'avx2' },
        { os: 'windows', isa: 'avx512' },
      ];
      for (const v of some) {
        const library = await link(await object(emitLlvm(program, v), v), v);
        expect(library.length, variantName(v)).toBeGreaterThan(10_000);
      }
    },
    60_000,
  );

  test('a frame of many pages is probed on Windows without a C runtime', async () => {
    const { object, link } = await openNativeTools();
    for (const isa of ['avx2', 'arm64'] as const) {
      const v = { os: 'windows', isa } as const;
      const deep = `define dllexport void @deep(i64 %i) #0 {
        %a = alloca [70000 x i8]
        %p = getelementptr [70000 x i8], [70000 x i8]* %a, i64 0, i64 %i
        store volatile i8 1, i8* %p
        ret void
      }`;
      const ir = `${emitLlvm(programOf(dotKernel(words, 's8s8'), 12 * words), v)}\n${deep}\n`;
      const file = join(temporaryFolder(), 'deep.dll');
      writeFileSync(file, await link(await object(ir, v), v));
      expect(needsOf(file, 'windows')).toBe('');
      const code = look('llvm-objdump', '-d', '--no-show-raw-insn', file);
      expect(code.split('<deep>:')[1]).toMatch(/^[^<]*\b(callq|bl)\b/);
    }
  });

  test('the same bytes each time', async () => {
    const { object, link } = await openNativeTools();
    const program = programOf(dotKernel(words, 's8s8'), 12 * words);
    for (const v of nativeVariants.filter(({ isa }) => isa !== 'avx512')) {
      const build = async () => link(await object(emitLlvm(program, v), v), v);
      expect(await build(), variantName(v)).toEqual(await build());
    }
  });

  test('a module that is not valid, and a symbol that is missing, are bugs that are told', async () => {
    const { object, link } = await openNativeTools();
    const v: LlvmVariant = { os: 'linux', isa: 'avx2' };
    const odd = object('define void @step() {\n  ret i32 %x\n}', v);
    await expect(odd).rejects.toBeInstanceOf(CompilerBug);
    await expect(odd).rejects.toThrow(/2:\d+: error: .*\n\s*ret i32 %x/s);
    for (const os of ['linux', 'macos', 'windows'] as const) {
      const calls =
        'declare void @memset()\ndefine void @step() {\n  call void @memset()\n  ret void\n}';
      const of = await object(calls, { os, isa: 'avx2' });
      const linked = link(of, { os, isa: 'avx2' });
      await expect(linked, os).rejects.toThrow(/undefined symbol: _?memset/);
    }
  });

  test('Ctrl-C ends the tools, and no folder stays', async () => {
    const own = () => readdirSync(tmpdir()).filter((f) => f.startsWith('cograph-link-'));
    const before = own();
    const tools = await openNativeTools();
    const controller = new AbortController();
    const stopped: NativeTools = {
      object: tools.object,
      link(object, v, signal) {
        const linked = tools.link(object, v, signal);
        controller.abort(new Error('stopped'));
        return linked;
      },
    };
    await expect(compiledWith(stopped, 'native', { signal: controller.signal })).rejects.toThrow(
      'stopped',
    );
    expect(own().filter((f) => !before.includes(f))).toEqual([]);
    const already = tools.object('', { os: 'linux', isa: 'avx2' }, controller.signal);
    await expect(already).rejects.toThrow('stopped');
  });
});
