/** Bundles with native code: what is built and how, and files for systems that are not here. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import { llvmTools, openNativeTools } from '../compiler/cli/native-tools.ts';
import { compile, compileProgram, readTargets } from '../compiler/compile.ts';
import { CompilerBug, present } from '../compiler/base/invariant.ts';
import { writeBundle } from '../compiler/8-bundle/bundle.ts';
import { readCheckpoint } from '../compiler/8-bundle/checkpoint.ts';
import { type LlvmVariant, emitLlvm } from '../compiler/7-emit/llvm.ts';
import { type NativeTools, libraryFile, nativeVariants } from '../compiler/7-emit/native.ts';
import { readManifest } from '../runtime/validate.ts';
import { fixture } from './helpers/golden.ts';
import { bundleOf, greedy, loadBundle, temporaryFolder } from './helpers/models.ts';
import { missingTools } from './helpers/native-run.ts';
import { dotKernel, programOf } from './helpers/one-kernel.ts';
import { randomCheckpoint } from './helpers/random-checkpoint.ts';

const missing = missingTools();
const note = missing.length > 0 ? ` (skipped without ${missing.join(', ')})` : '';
const skip = missing.length > 0;

const { folder, bound } = randomCheckpoint({
  vocab: 67,
  width: 48,
  inner: 41,
  depth: 2,
  heads: 4,
  kvHeads: 2,
  head: 16,
  dtype: 'BF16',
  context: 256,
});
const limits = { tokens: 4, rows: 4 };
const words = 32;

/** Compiled with these tools; the bundle's folder. */
async function compiledWith(
  native: NativeTools | undefined,
  target: string | readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  const out = join(temporaryFolder(), 'bundle');
  const source = { compiler: 'test', ...(native ? { native } : {}) };
  const options = { target, limits, ...(signal ? { signal } : {}) };
  await compile(bound, await readCheckpoint(nodeFiles, folder), source, nodeFiles, out, options);
  return out;
}

const manifestOf = (bundle: string) =>
  readManifest(readFileSync(join(bundle, 'manifest.json'), 'utf8'));
const nameOf = ({ os, isa }: LlvmVariant): string => `${os} ${isa}`;

/** Tools that make up files, each after the time that `wait` says. */
function pretended(wait: (v: LlvmVariant) => Promise<void>) {
  let running = 0;
  const seen = { most: 0, begun: [] as string[] };
  const tools: NativeTools = {
    async object(ir, v) {
      seen.begun.push(nameOf(v));
      seen.most = Math.max(seen.most, ++running);
      await wait(v).finally(() => running--);
      return new TextEncoder().encode(ir.slice(0, 40));
    },
    link: (_, v) => Promise.resolve(new TextEncoder().encode(nameOf(v))),
  };
  return { tools, seen };
}

const later = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

describe('a bundle', () => {
  test('has a library for each variant in order of preference, built two at a time', async () => {
    // Later ones are done first.
    const { tools, seen } = pretended((v) => later(v.os === 'linux' ? 30 : 1));
    const both = await compiledWith(tools, 'wasm,native');
    const { programs, files } = manifestOf(both);
    const names = programs.native?.variants.map(nameOf) ?? [];
    expect(names).toEqual(nativeVariants.map(nameOf));
    expect(names.indexOf('linux avx512')).toBeLessThan(names.indexOf('linux avx2'));
    for (const v of programs.native?.variants ?? []) {
      expect(v.file).toBe(libraryFile(v));
      expect(readFileSync(join(both, v.file), 'utf8')).toBe(nameOf(v));
    }
    expect(seen.begun).toHaveLength(nativeVariants.length);
    expect(seen.most).toBe(2);
    const native = Object.keys(files).filter((f) => f.startsWith('native/'));
    expect(native).toEqual(nativeVariants.map(libraryFile));
  });

  test('has one copy of the weights, and runs on each target that it was compiled for', async () => {
    const { tools } = pretended(() => Promise.resolve());
    const [both, wasm, native] = await Promise.all([
      compiledWith(tools, ['native', 'wasm']),
      bundleOf(bound, folder, limits),
      compiledWith(tools, 'native'),
    ]);
    const manifests = [both, wasm, native].map(manifestOf);
    for (const m of manifests) expect(m.weights).toEqual(manifests[0]?.weights);
    expect(manifests.map((m) => Object.keys(m.programs))).toEqual([
      ['wasm', 'native'],
      ['wasm'],
      ['native'],
    ]);
    const models = await Promise.all([both, wasm].map((b) => loadBundle(b)));
    const texts = await Promise.all(models.map((m) => greedy(m, [3, 11, 60], 8)));
    expect(texts[0]).toEqual(texts[1]);
    models.forEach((m) => m.close());
    await expect(loadBundle(native, { target: 'wasm' })).rejects.toMatchObject({
      code: 'device/target',
    });
  });

  test('a build that fails ends the others, and leaves nothing behind', async () => {
    const { tools, seen } = pretended(async (v) => {
      await later(v.isa === 'avx512' ? 1 : 20);
      if (v.isa === 'avx512') throw new Error('out of disk');
    });
    const parent = temporaryFolder();
    const source = { compiler: 'test', native: tools };
    const checkpoint = await readCheckpoint(nodeFiles, folder);
    const out = join(parent, 'bundle');
    const options = { target: 'native', limits };
    const failed = compile(bound, checkpoint, source, nodeFiles, out, options);
    await expect(failed).rejects.toThrow('out of disk');
    expect(seen.begun).toHaveLength(2);
    expect(readdirSync(parent)).toEqual([]);
  });

  test('programs that place weights differently are a bug', async () => {
    const checkpoint = await readCheckpoint(nodeFiles, folder);
    const { program, weights, graph } = compileProgram(bound, checkpoint, { limits });
    const moved = program.weights.map((w, i) => (i === 0 ? { ...w, offset: w.offset + 64 } : w));
    const written = writeBundle(
      { wasm: program, native: { ...program, weights: moved } },
      present(weights),
      checkpoint,
      nodeFiles,
      join(temporaryFolder(), 'bundle'),
      { compiler: 'test', vocab: 67, eos: [], graph },
    );
    await expect(written).rejects.toThrow(/place weights or states differently/);
  });
});

test('targets are names or one text, each once', () => {
  expect(readTargets('native, wasm,native')).toEqual(['wasm', 'native']);
  expect(readTargets(['native'])).toEqual(['native']);
  for (const wrong of ['', 'wasm,', 'cuda', []]) {
    expect(() => readTargets(wrong)).toThrow(expect.objectContaining({ code: 'target/unknown' }));
  }
});

test('native code without tools is refused before anything is compiled', async () => {
  await expect(compiledWith(undefined, 'native')).rejects.toMatchObject({ code: 'target/tools' });
});

test('where LLVM is missing the command says what to install, and wasm is compiled all the same', () => {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const parent = temporaryFolder();
  const cograph = (target: string) => {
    const main = ['--conditions=source', '--import', 'tsx', 'compiler/cli/main.ts'];
    const args = [
      'compile',
      fixture('goldens/llama'),
      '--out',
      join(parent, target),
      '--target',
      target,
      '--json',
    ];
    const env = { ...process.env, PATH: parent };
    return spawnSync(process.execPath, [...main, ...args], { cwd: root, encoding: 'utf8', env });
  };
  const { status, stdout } = cograph('native');
  expect(status).toBe(1);
  const { error } = JSON.parse(stdout) as { error: { code: string; message: string } };
  expect(error.code).toBe('target/tools');
  for (const tool of llvmTools) expect(error.message).toContain(tool);
  expect(error.message).toMatch(/cograph setup native.* llvm-14 and lld-14 /);
  expect(readdirSync(parent)).toEqual([]);
  expect(cograph('wasm').status).toBe(0);
});

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
      expect(await build(), nameOf(v)).toEqual(await build());
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
    await expect(compiledWith(stopped, 'native', controller.signal)).rejects.toThrow('stopped');
    expect(own().filter((f) => !before.includes(f))).toEqual([]);
    const already = tools.object('', { os: 'linux', isa: 'avx2' }, controller.signal);
    await expect(already).rejects.toThrow('stopped');
  });
});
