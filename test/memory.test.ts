/** Compiling streams: its memory does not grow with the model. */
import { spawnSync } from 'node:child_process';
import { openSync, closeSync, ftruncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type Shape, configOf, headerOf, parametersOf, tensorsOf } from '../bench/checkpoints.ts';
import { temporaryFolder } from './helpers/models.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A gigabyte of weights, in a file with a hole where their zeros are. */
const shape: Shape = {
  name: 'wide',
  vocab: 32000,
  width: 2048,
  inner: 8192,
  depth: 8,
  heads: 32,
  kvHeads: 8,
  head: 64,
};

const report =
  'data:text/javascript,process.on("exit",()=>console.error("peak",process.resourceUsage().maxRSS))';

test('a gigabyte in at most 512 MiB plus the largest tensor', () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configOf(shape)));
  const file = openSync(join(folder, 'model.safetensors'), 'w');
  const header = headerOf(shape);
  writeSync(file, header);
  const bytes = 2 * parametersOf(shape);
  ftruncateSync(file, header.byteLength + bytes);
  closeSync(file);
  expect(bytes).toBeGreaterThan(1e9);
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      ...['--conditions=source', '--import', 'tsx', '--import', report],
      ...['compiler/cli/main.ts', 'compile', folder, '--out', join(folder, 'out')],
    ],
    { cwd: root, encoding: 'utf8' },
  );
  expect(status).toBe(0);
  // Processes of the loader report too; the compiler's is the largest.
  const peaks = [...stderr.matchAll(/^peak (\d+)$/gm)].map((m) => Number(m[1]) * 1024);
  const largest = Math.max(...tensorsOf(shape).map((t) => 2 * t.shape.reduce((a, b) => a * b, 1)));
  expect(Math.max(...peaks)).toBeGreaterThan(largest);
  expect(Math.max(...peaks)).toBeLessThanOrEqual(512 * 2 ** 20 + largest);
}, 120_000);
