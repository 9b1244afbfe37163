/** Bundles with native code: what is built, in which order, and what is said where it cannot be. */
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import { llvmTools } from '../compiler/cli/native-tools.ts';
import { compile, compileProgram, readTargets } from '../compiler/compile.ts';
import { present } from '../compiler/base/invariant.ts';
import { armMachine, x86Machine } from '../compiler/5-kernel/machine.ts';
import { writeBundle } from '../compiler/8-bundle/bundle.ts';
import { readCheckpoint } from '../compiler/8-bundle/checkpoint.ts';
import type { LlvmVariant } from '../compiler/7-emit/llvm.ts';
import {
  type NativeTools,
  libraryFile,
  nativeVariants,
  readVariants,
  variantName,
} from '../compiler/7-emit/native.ts';
import { readManifest } from '../runtime/validate.ts';
import { fixture } from './helpers/golden.ts';
import { bundleOf, greedy, loadBundle, temporaryFolder } from './helpers/models.ts';
import { bound, compiledWith, folder, limits } from './helpers/native-compile.ts';
import { missingTools } from './helpers/native-run.ts';

const missing = missingTools();
const note = missing.length > 0 ? ` (skipped without ${missing.join(', ')})` : '';
const skip = missing.length > 0;

const root = fileURLToPath(new URL('..', import.meta.url));

const manifestOf = (bundle: string) =>
  readManifest(readFileSync(join(bundle, 'manifest.json'), 'utf8'));

/** Tools that make up files, each after the time that `wait` says. */
function pretended(wait: (v: LlvmVariant) => Promise<void>) {
  let running = 0;
  const seen = { most: 0, begun: [] as string[] };
  const tools: NativeTools = {
    async object(ir, v) {
      seen.begun.push(variantName(v));
      seen.most = Math.max(seen.most, ++running);
      await wait(v).finally(() => running--);
      return new TextEncoder().encode(ir.slice(0, 40));
    },
    link: (_, v) => Promise.resolve(new TextEncoder().encode(variantName(v))),
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
    const names = programs.native?.variants.map(variantName) ?? [];
    expect(names).toEqual(nativeVariants.map(variantName));
    expect(names.indexOf('linux-avx512')).toBeLessThan(names.indexOf('linux-avx2'));
    for (const v of programs.native?.variants ?? []) {
      expect(v.file).toBe(libraryFile(v));
      expect(readFileSync(join(both, v.file), 'utf8')).toBe(variantName(v));
    }
    expect(seen.begun).toHaveLength(nativeVariants.length);
    expect(seen.most).toBe(2);
    const native = Object.keys(files).filter((f) => f.startsWith('native/'));
    expect(native).toEqual(nativeVariants.map(libraryFile));
  });

  test('has one copy of the weights, and runs on wasm if it was compiled for that', async () => {
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
    const models = await Promise.all([both, wasm].map((b) => loadBundle(b, { target: 'wasm' })));
    const texts = await Promise.all(models.map((m) => greedy(m, [3, 11, 60], 8)));
    expect(texts[0]).toEqual(texts[1]);
    models.forEach((m) => m.close());
    await expect(loadBundle(native, { target: 'wasm' })).rejects.toMatchObject({
      code: 'device/target',
    });
  });

  test('has what its variants need: arm64 alone needs less scratch, and no program of x86-64', async () => {
    const { tools } = pretended(() => Promise.resolve());
    const checkpoint = await readCheckpoint(nodeFiles, folder);
    const scratchOf = async (...names: string[]): Promise<number | undefined> => {
      const bundle = await compiledWith(tools, 'native', { variants: readVariants(names) });
      return manifestOf(bundle).programs.native?.scratchBytes;
    };
    const [x64, arm64] = [x86Machine, armMachine].map(
      (machine) =>
        compileProgram(bound, checkpoint, { limits, machine }).program.memory.scratchBytes,
    );
    expect(arm64).toBeLessThan(present(x64));
    expect(await scratchOf('linux-arm64', 'macos-arm64')).toBe(arm64);
    expect(await scratchOf('linux-avx2')).toBe(x64);
    expect(await scratchOf('linux-avx2', 'macos-arm64')).toBe(x64);
    await expect(compiledWith(tools, 'native', { variants: [] })).rejects.toMatchObject({
      code: 'target/variant',
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
      { wasm: program, native: { avx2: { ...program, weights: moved }, arm64: program } },
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

test('variants are names, in order of preference', () => {
  const found = readVariants(['windows-arm64', 'linux-avx2', 'linux-avx512']);
  expect(found.map(variantName)).toEqual(['linux-avx512', 'linux-avx2', 'windows-arm64']);
  for (const wrong of [['macos-avx512'], ['linux'], []]) {
    expect(() => readVariants(wrong)).toThrow(expect.objectContaining({ code: 'target/variant' }));
  }
});

test('native code without tools is refused before anything is compiled', async () => {
  await expect(compiledWith(undefined, 'native')).rejects.toMatchObject({ code: 'target/tools' });
});

test('where LLVM is missing the command says what to install, and wasm is compiled all the same', () => {
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

test.skipIf(skip)(`--variants builds these alone${note}`, () => {
  const out = join(temporaryFolder(), 'bundle');
  const main = ['--conditions=source', '--import', 'tsx', 'compiler/cli/main.ts'];
  const wanted = ['--target', 'native', '--variants', 'macos-arm64,linux-avx2', '--out', out];
  const args = [...main, 'compile', fixture('goldens/llama'), ...wanted];
  expect(spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' }).status).toBe(0);
  const names = manifestOf(out).programs.native?.variants.map(variantName);
  expect(names).toEqual(['linux-avx2', 'macos-arm64']);
  expect(readdirSync(join(out, 'native')).sort()).toEqual(['linux-avx2.so', 'macos-arm64.dylib']);
});
