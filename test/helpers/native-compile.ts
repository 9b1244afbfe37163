/** A small random model, compiled with any tools. */
import { join } from 'node:path';
import { nodeFiles } from '../../compiler/cli/node-files.ts';
import { compile } from '../../compiler/compile.ts';
import { readCheckpoint } from '../../compiler/8-bundle/checkpoint.ts';
import type { LlvmVariant } from '../../compiler/7-emit/llvm.ts';
import type { NativeTools } from '../../compiler/7-emit/native.ts';
import { temporaryFolder } from './models.ts';
import { randomCheckpoint } from './random-checkpoint.ts';

export const { folder, bound } = randomCheckpoint({
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
export const limits = { tokens: 4, rows: 4 };

/** Compiled with these tools; the bundle's folder. */
export async function compiledWith(
  native: NativeTools | undefined,
  target: string | readonly string[],
  more: { readonly signal?: AbortSignal; readonly variants?: readonly LlvmVariant[] } = {},
): Promise<string> {
  const out = join(temporaryFolder(), 'bundle');
  const { signal, variants } = more;
  const source = {
    compiler: 'test',
    ...(native ? { native } : {}),
    ...(variants ? { variants } : {}),
  };
  const options = { target, limits, ...(signal ? { signal } : {}) };
  await compile(bound, await readCheckpoint(nodeFiles, folder), source, nodeFiles, out, options);
  return out;
}
