/** Costs count quantised weights with the bits that bundles keep them in. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { constantDim } from '../compiler/base/dim.ts';
import { present } from '../compiler/base/invariant.ts';
import { compileGraph, readSheets } from '../compiler/compile.ts';
import { type BoundModel, type QuantScheme, bitsPerElement, precision } from '../compiler/index.ts';
import { weightsOf } from '../compiler/2-model/weights.ts';
import { costOf } from '../compiler/3-graph/cost.ts';
import { keptBits } from '../compiler/3-graph/kept.ts';
import { lookaheads } from '../compiler/3-graph/lookahead.ts';
import { partCosts } from '../compiler/3-graph/part-cost.ts';
import { weightRefusal } from '../compiler/5-kernel/refusals.ts';
import { viewModel } from '../compiler/view/scopes.ts';
import { readManifest } from '../runtime/validate.ts';
import { fp8, fp8Blocks, ggmlTypes, int4, int8, mxfp4, q4_0, q4_k } from '../stdlib/index.ts';
import { fixture } from './helpers/golden.ts';
import { bundleOf, familyModel } from './helpers/models.ts';
import { randomCheckpoint } from './helpers/random-checkpoint.ts';

// Sizes that fill bands and blocks: nothing is padded.
const { folder, bound } = randomCheckpoint({
  vocab: 48,
  width: 256,
  inner: 256,
  depth: 2,
  heads: 8,
  kvHeads: 8,
  head: 32,
  dtype: 'F32',
  context: 64,
});
const one = { tokens: 1, rows: 1, keys: 1 };
const quantised = (of: BoundModel, scheme: QuantScheme): BoundModel => ({
  ...of,
  sheets: [precision`:linear, :embedding { weights: ${scheme} }`],
});

const schemes: readonly (readonly [QuantScheme, bits: number])[] = [
  [q4_0, 4.5],
  // Scales and minima of six bits take a byte: two for each 32 elements.
  [q4_k, 4 + 16 / 32 + 32 / 256],
  [mxfp4, 4.25],
  [int8(), 8 + 32 / 256],
];

describe.each(schemes.map(([s, bits]) => [s.name, s, bits] as const))('%s', (_, scheme, bits) => {
  const model = quantised(bound, scheme);

  test('what a bundle has of each matrix is what the bits say', async () => {
    expect(keptBits(scheme, [256, 256])).toBeCloseTo(bits, 9);
    const out = await bundleOf(model, folder);
    const text = readFileSync(join(out, 'manifest.json'), 'utf8');
    const manifest = readManifest(text);
    const matrices = manifest.weights.parts.filter((p) => p.shape.length === 2);
    expect(matrices.length).toBeGreaterThan(14);
    for (const { shape, bytes, name } of matrices) {
      const [n = 0, k = 0] = shape;
      expect(bytes, name).toBe((n * k * keptBits(scheme, shape)) / 8);
    }
    // A token reads all of them, the head is one, and of the table that is the head a row once more.
    const read = matrices.reduce((sum, p) => sum + p.bytes, 0);
    const table = present(matrices.find((p) => p.name.includes('embed')));
    expect(manifest.cost.weightBytesPerToken).toBeCloseTo(read + table.bytes / 48, 3);
  });

  test('parts cost what the graph does', () => {
    const { graph, model: checked, kept } = compileGraph(model, undefined, { target: 'reference' });
    const bitsOf = (path: string): number | undefined => {
      const found = present([...weightsOf(checked.body)].find((w) => w.weight.path === path));
      const shape = found.weight.type.shape.map((d) => present(constantDim(d)));
      const own = kept.get(path);
      return own && keptBits(own, shape);
    };
    const { total } = partCosts(checked, { keys: 1, bitsOf });
    expect(costOf(graph, one).weightBytes).toBeCloseTo(total.weightBytes, 3);
  });
});

test('the book says bits and kernels of schemes', () => {
  const book = readFileSync(new URL('../spec/precision.md', import.meta.url), 'utf8');
  const rows = [...book.matchAll(/^\| `(\w+)` +\| ([\d.]+) +\| ([\d.]+) +\| (yes|no) +\|$/gm)];
  const all = new Map<string, QuantScheme>(
    [...ggmlTypes.values()].flatMap(({ scheme }) => (scheme ? [[scheme.name, scheme]] : [])),
  );
  for (const s of [int4(128), int8(), int8(32), fp8, fp8Blocks(128)]) all.set(s.name, s);
  expect(rows.map((r) => r[1]).sort()).toEqual([...all.keys()].sort());
  for (const [, name = '', bits, inBundle, kernels] of rows) {
    const scheme = present(all.get(name));
    const of = (value: number): number => Math.round(value * 100) / 100;
    expect(of(bitsPerElement(scheme, 4096, 4096)), name).toBe(Number(bits));
    expect(of(keptBits(scheme, [4096, 4096])), name).toBe(Number(inBundle));
    expect(weightRefusal(scheme) === undefined ? 'yes' : 'no', name).toBe(kernels);
  }
});

test('the page shows the bits of a checkpoint as of a sheet', () => {
  const scheme = int4(32);
  const plain = readSheets(bound).model;
  const said = readSheets(quantised(bound, scheme));
  const sheets = { resolved: said.sheets, ruleOf: () => 'a rule' };
  const bySheet = viewModel(said.model, { context: 1, sheets });
  const kept = new Set(said.kept.keys());
  const byFile = viewModel(plain, {
    context: 1,
    dtypeOf: () => 'f32',
    schemeOf: (path) => (kept.has(path) ? scheme : undefined),
  });
  expect(byFile.total).toEqual(bySheet.total);
  expect(byFile.total[1]).toBeLessThan(viewModel(plain, { context: 1 }).total[1] / 6);
});

test('fewer bytes are read between a choice and its use', () => {
  const { model } = readSheets(familyModel(fixture('goldens/smallthinker_4b')));
  const plain = lookaheads(model, { keys: 1 });
  const packed = lookaheads(model, { keys: 1, schemeOf: () => q4_0 });
  expect(plain.some((a) => a.weightBytes > 0)).toBe(true);
  plain.forEach((a, i) => {
    if (a.weightBytes > 0) expect(present(packed[i]).weightBytes).toBeLessThan(a.weightBytes / 6);
  });
});
