/** Bundles with a program for WebGPU: one copy of the weights, and modules that a GPU takes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import { compile } from '../compiler/compile.ts';
import { readCheckpoint } from '../compiler/8-bundle/checkpoint.ts';
import { readManifest } from '../runtime/validate.ts';
import { fixture } from './helpers/golden.ts';
import { familyModel, temporaryFolder } from './helpers/models.ts';
import { gpu, note } from './helpers/webgpu.ts';

async function bundleFor(name: string, target: string): Promise<string> {
  const folder = fixture(`goldens/${name}`);
  const out = join(temporaryFolder(), 'bundle');
  const checkpoint = await readCheckpoint(nodeFiles, folder);
  await compile(familyModel(folder), checkpoint, { compiler: 'test' }, nodeFiles, out, { target });
  return out;
}

const manifestOf = (bundle: string) =>
  readManifest(readFileSync(join(bundle, 'manifest.json'), 'utf8'));

const names = ['llama', 'qwen2', 'mixtral', 'deepseek_v2', 'smallthinker_21b'];

describe.each(names)('%s', (name) => {
  const bundle = bundleFor(name, 'webgpu');

  test('its kernels take what every device has', async () => {
    const { webgpu, wasm } = manifestOf(await bundle).programs;
    expect(wasm).toBeUndefined();
    expect(webgpu?.kernels.length).toBeGreaterThan(3);
    for (const k of webgpu?.kernels ?? []) {
      expect(k.bindings.length, k.entry).toBeLessThanOrEqual(8);
      expect(k.sharedBytes, k.entry).toBeLessThanOrEqual(16384);
      expect(k.workgroup, k.entry).toBeLessThanOrEqual(256);
    }
  });

  test.skipIf(!gpu)(`its modules are valid WGSL${note}`, async () => {
    const folder = await bundle;
    const device = await (await gpu?.requestAdapter())?.requestDevice();
    for (const { file } of manifestOf(folder).programs.webgpu?.variants ?? []) {
      const code = readFileSync(join(folder, file), 'utf8');
      const info = await device?.createShaderModule({ code }).getCompilationInfo();
      expect(info?.messages.map((m) => m.message)).toEqual([]);
    }
    device?.destroy();
  });
});

test('one bundle holds a program for wasm and one for WebGPU over the same weights', async () => {
  const [both, alone] = [
    await bundleFor('llama', 'wasm,webgpu'),
    await bundleFor('llama', 'webgpu'),
  ];
  const [a, b] = [manifestOf(both), manifestOf(alone)];
  expect(Object.keys(a.programs).sort()).toEqual(['wasm', 'webgpu']);
  expect(a.weights).toEqual(b.weights);
  expect(a.programs.webgpu).toEqual(b.programs.webgpu);
});
