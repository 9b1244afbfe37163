/** Bundles with native libraries for this machine alone: a build takes seconds. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { nodeFiles } from '../../compiler/cli/node-files.ts';
import { compileProgram } from '../../compiler/compile.ts';
import type { BoundModel } from '../../compiler/index.ts';
import { emitLlvm } from '../../compiler/7-emit/llvm.ts';
import { readCheckpoint } from '../../compiler/8-bundle/checkpoint.ts';
import type { Limits } from '../../compiler/6-program/program.ts';
import type { Manifest, NativeProgram } from '../../runtime/manifest.ts';
import { readManifest } from '../../runtime/validate.ts';
import { bundleOf } from './models.ts';
import { objectOf } from './native-run.ts';

const run = promisify(execFile);

export const manifestOf = (bundle: string): Manifest =>
  readManifest(readFileSync(join(bundle, 'manifest.json'), 'utf8'));

export const writeManifest = (bundle: string, manifest: Manifest): void =>
  writeFileSync(join(bundle, 'manifest.json'), JSON.stringify(manifest));

/** A bundle for wasm and for native code on Linux with this instruction set. */
export async function nativeBundleOf(
  bound: BoundModel,
  checkpointFolder: string,
  limits: Partial<Limits> = {},
  isa: 'avx2' | 'avx512' = 'avx2',
): Promise<string> {
  const bundle = await bundleOf(bound, checkpointFolder, limits);
  const checkpoint = await readCheckpoint(nodeFiles, checkpointFolder);
  const { program } = compileProgram(bound, checkpoint, { limits });
  const variant = { os: 'linux', isa } as const;
  const object = await objectOf(emitLlvm(program, variant), variant);
  const file = `native/${variant.os}-${isa}.so`;
  mkdirSync(join(bundle, 'native'));
  await run('ld.lld-14', ['-shared', object, '-o', join(bundle, file)]);
  const bytes = readFileSync(join(bundle, file));
  const { arenaBytes, scratchBytes } = program.memory;
  const native: NativeProgram = {
    variants: [{ file, ...variant }],
    limits: program.limits,
    arenaBytes,
    scratchBytes,
    output: program.output,
  };
  const manifest = manifestOf(bundle);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  writeManifest(bundle, {
    ...manifest,
    files: { ...manifest.files, [file]: { bytes: bytes.byteLength, sha256 } },
    programs: { ...manifest.programs, native },
  });
  return bundle;
}
