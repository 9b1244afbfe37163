/** Bundles with native code for this machine alone: a build takes seconds. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nodeFiles } from '../../compiler/cli/node-files.ts';
import { openNativeTools } from '../../compiler/cli/native-tools.ts';
import { compile } from '../../compiler/compile.ts';
import type { BoundModel } from '../../compiler/index.ts';
import { readCheckpoint } from '../../compiler/8-bundle/checkpoint.ts';
import type { Limits } from '../../compiler/6-program/program.ts';
import type { Manifest } from '../../runtime/manifest.ts';
import { readManifest } from '../../runtime/validate.ts';
import { temporaryFolder } from './models.ts';

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
  const out = join(temporaryFolder(), 'bundle');
  const checkpoint = await readCheckpoint(nodeFiles, checkpointFolder);
  const native = { native: await openNativeTools(), variants: [{ os: 'linux', isa }] as const };
  const options = { target: ['wasm', 'native'], limits };
  await compile(bound, checkpoint, { compiler: 'test', ...native }, nodeFiles, out, options);
  return out;
}
