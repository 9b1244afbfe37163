/** Every TypeScript fence of the books runs: its blocks check, its models compile. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { makeLog } from '../compiler/base/diagnostic.ts';
import { renderAll } from '../compiler/base/render.ts';
import { isTemplate } from '../compiler/1-syntax/template.ts';
import { checkBlock } from '../compiler/2-model/check.ts';
import { compileProgram } from '../compiler/compile.ts';
import type { BoundModel } from '../compiler/index.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
// Inside of the project, so that the fences' imports find its packages.
const folder = join(root, '.cache', `fences-${process.pid}`);
mkdirSync(folder, { recursive: true });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const isBound = (v: unknown): v is BoundModel =>
  typeof v === 'object' && v !== null && 'template' in v && isTemplate(v.template);

describe.each([
  'spec/language.md',
  'spec/precision.md',
  'spec/routing.md',
  'spec/attention.md',
  'spec/surgery.md',
  'README.md',
])('%s', (book) => {
  const text = readFileSync(join(root, book), 'utf8');
  const fences = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map((m) => m[1] ?? '');
  const own = fences.filter((f) => !f.includes("'cograph/runtime'"));

  test('has fences', () => expect(own.length).toBeGreaterThan(0));

  test.each(own.map((f, i) => [i + 1, f] as const))('fence %i', async (n, fence) => {
    const source = fence
      .replaceAll("'cograph'", `'${root}compiler/index.ts'`)
      .replaceAll("'cograph/stdlib'", `'${root}stdlib/index.ts'`);
    const file = join(folder, `${book.replace(/\W/g, '-')}-${n}.ts`);
    writeFileSync(file, source);
    const module = (await import(file)) as Record<string, unknown>;
    const values = Object.values(module);
    expect(values.length).toBeGreaterThan(0);
    for (const value of values) {
      if (isBound(value)) {
        expect(compileProgram(value, undefined).program.kernels.length).toBeGreaterThan(0);
      } else if (isTemplate(value)) {
        const log = makeLog();
        checkBlock(value, log);
        expect(renderAll(log.diagnostics())).toBe('');
      }
    }
  });
});
