/** Products with quantised matrices: kernels of every machine against the interpreter's arithmetic. */
import { describe, expect, test } from 'vitest';
import { type Machine, armMachine, wasmMachine, x86Machine } from '../compiler/5-kernel/machine.ts';
import { runKernels } from './helpers/kernel-run.ts';
import { bundleOf, loadBundle } from './helpers/models.ts';
import { type ProductCase, errorIn, productCases, prompt } from './helpers/product-cases.ts';

/** Bytes of 8 bits tell arm64 from the others, and width of lanes from wasm. */
const machinesFor = ({ name }: ProductCase): readonly Machine[] =>
  /^q8_0|^tables x/.test(name) ? [wasmMachine, x86Machine, armMachine] : [wasmMachine, x86Machine];

describe.each(productCases.map((c) => [c.name, c] as const))('%s', (_, c) => {
  test('in the kernel interpreter, for each machine', async () => {
    for (const machine of machinesFor(c)) {
      const found = await runKernels(c.bound, c.folder, prompt, undefined, undefined, machine);
      expect(await errorIn(c, found), machine.name).toBeLessThan(c.tolerance);
    }
  }, 120_000);

  test('in wasm', async () => {
    const loaded = await loadBundle(await bundleOf(c.bound, c.folder));
    expect(await errorIn(c, await loaded.logits(prompt))).toBeLessThan(c.tolerance);
    loaded.close();
  }, 60_000);
});
