/** Formats that sheets set are nodes of the graph, and the reference interpreter computes with them. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { e4m3Format, valueOf } from '../compiler/base/number-format.ts';
import { openReference, readWeights } from '../compiler/cli/reference-device.ts';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import { compileGraph, compileProgram } from '../compiler/compile.ts';
import { readCheckpoint } from '../compiler/8-bundle/checkpoint.ts';
import type { Graph } from '../compiler/3-graph/graph.ts';
import { interpret, makeStateStore } from '../compiler/3-graph/interpret.ts';
import { printGraph } from '../compiler/3-graph/print.ts';
import { readGraph } from '../compiler/3-graph/read.ts';
import { verifyGraph } from '../compiler/3-graph/verify.ts';
import { type BoundModel, type SheetSource, bind, model, precision } from '../compiler/index.ts';
import type { NdArray, Step } from '../compiler/ops/op.ts';
import { decodeMatrix, packMatrix, quantiseMatrix } from '../compiler/scalar/quantise.ts';
import { makeModel } from '../runtime/model.ts';
import { fp8, fp8Blocks, int8, q8_0 } from '../stdlib/index.ts';
import { familyModel } from './helpers/models.ts';
import { makeRandom } from './helpers/random-checkpoint.ts';

const folder = join(import.meta.dirname, 'fixtures/goldens/llama');
const llama = familyModel(folder);
const graphOf = (bound: BoundModel, ...sheets: readonly SheetSource[]): Graph =>
  compileGraph(bound, undefined, { target: 'reference', sheets }).graph;
const roundTrips = (graph: Graph): number => printGraph(graph).split(' = through(').length - 1;

test('models without such sheets have no round trips, graphs with them are good and read back', () => {
  expect(roundTrips(graphOf(llama))).toBe(0);
  expect(roundTrips(graphOf(llama, precision`** { weights: bf16; kv: f32 }`))).toBe(0);
  const graph = graphOf(llama, precision`:linear { weights: ${q8_0} } ** { kv: ${fp8} }`);
  const text = printGraph(graph);
  expect(printGraph(readGraph(text))).toBe(text);
  expect(verifyGraph(readGraph(text))).toEqual([]);
  expect(verifyGraph(readGraph(text.replaceAll('\\"kind\\":\\"scheme\\"', '')))).not.toEqual([]);
  expect(roundTrips(graph)).toBeGreaterThan(2);
});

test('weights: the model of a checkpoint that was quantised and decoded before', async () => {
  const checkpoint = await readCheckpoint(nodeFiles, folder);
  const bound = compileGraph(llama, checkpoint).weights;
  if (!bound) throw new Error('no weights');
  const reader = await readWeights(bound, checkpoint, nodeFiles);
  const sizes = { threads: 1, context: 64, capacity: 64, sequences: 1 };
  const run = (graph: Graph, read = reader) =>
    makeModel(openReference(graph, read, sizes), { name: '', eos: [] }, undefined).logits([5, 9, 2]); // prettier-ignore
  const decoded: typeof reader = (name, source, type) => {
    const array = reader(name, source, type);
    const [n, k] = [array.shape[0] ?? 0, array.shape[1] ?? 0];
    if (!/_proj$/.test(name)) return array;
    const blocks = (n * k * 34) / 32;
    const q = quantiseMatrix(q8_0, array.data, { n, k });
    const stores = packMatrix(q8_0, q, { blocks }, { n, k });
    return { shape: array.shape, data: decodeMatrix(q8_0, stores, { n, k }) };
  };
  const sheet = precision`layers:linear { weights: ${q8_0} } layers.**:linear { weights: ${q8_0} }`;
  const found = await run(graphOf(llama, sheet));
  expect(found).toEqual(await run(graphOf(llama), decoded));
  expect(found).not.toEqual(await run(graphOf(llama)));
});

const width = 8;
const random = makeRandom(4);
const drawn = (n: number): Float64Array => Float64Array.from({ length: n }, () => 3 * random());
const arrays = new Map(['embed', 'wk', 'wv', 'out'].map((name) => [name, drawn(width * width)]));
const step: Step = {
  ids: Int32Array.of(1, 5, 2), sequence: new Int32Array(3), position: Int32Array.of(0, 1, 2),
  slot: Int32Array.of(0, 1, 2), length: Int32Array.of(1, 2, 3), rows: Int32Array.of(0, 1, 2),
  table: new Int32Array(1), blocksPerSequence: 1, block: 16,
}; // prettier-ignore

function resultOf(bound: BoundModel, ...sheets: readonly SheetSource[]): readonly number[] {
  const read = (name: string, _: string, { shape }: { shape: readonly number[] }): NdArray => ({
    shape,
    data: arrays.get(name) ?? drawn(0),
  });
  const [y] = interpret(graphOf(bound, ...sheets), read, step, makeStateStore());
  return [...(y?.data ?? [])];
}

const rowsOf = (name: string, ids: readonly number[]): number[][] =>
  ids.map((id) => [...(arrays.get(name) ?? [])].slice(id * width, (id + 1) * width));
const all = Array.from({ length: width }, (_, i) => i);
const embedded = (): number[][] => rowsOf('embed', [1, 5, 2]);
const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);
const times = (x: readonly number[][], name: string): number[][] =>
  x.map((row) => rowsOf(name, all).map((w) => dot(row, w)));

const near = (found: readonly number[], wanted: readonly number[]): void => {
  expect(found.length).toBe(wanted.length);
  found.forEach((x, i) => expect(x).toBeCloseTo(wanted[i] ?? NaN, 9));
};

test('activations: what a product with a weight multiplies, each token with its own scale', () => {
  const bound = bind(model`
    two(ids: i32 [t]) -> [t, 8] {
      weight embed: [8, 8], wk: [8, 8], out: [8, 8]
      return (embed[ids] @ wk.T) @ out.T
    }
  `);
  const kept = (row: readonly number[]): number[] => {
    const scale = Math.fround(Math.max(...row.map(Math.abs)) / 127);
    return row.map((x) => Math.max(-128, Math.min(127, Math.round(x / scale))) * scale);
  };
  const found = resultOf(bound, precision`out { activations: ${int8()} }`);
  near(found, times(times(embedded(), 'wk').map(kept), 'out').flat());
  const both = resultOf(bound, precision`** { activations: ${int8()} }`);
  near(both, times(times(embedded().map(kept), 'wk').map(kept), 'out').flat());
});

test('kv: what goes into the cache, each head with its own scale', () => {
  const bound = bind(model`
    looks(ids: i32 [t]) -> [t, 8] {
      weight embed: [8, 8], wk: [8, 8], wv: [8, 8]
      x = embed[ids]
      q = x as [t, 1, 8]
      k = (x @ wk.T) as [t, 1, 8]
      v = (x @ wv.T) as [t, 1, 8]
      return attend(q, k, v, scale = 0.5) as [t, 8]
    }
  `);
  const codes = Array.from({ length: 256 }, (_, c) => valueOf(e4m3Format, c)).filter(
    Number.isFinite,
  );
  const kept = (row: readonly number[]): number[] => {
    const scale = Math.fround(Math.max(...row.map(Math.abs)) / 448);
    const nearest = (x: number): number =>
      codes.reduce((a, b) => (Math.abs(b - x) < Math.abs(a - x) ? b : a));
    return row.map((x) => nearest(x / scale) * scale);
  };
  const attention = (keep: (row: readonly number[]) => readonly number[]): number[] => {
    const [k, v] = [times(embedded(), 'wk').map(keep), times(embedded(), 'wv').map(keep)];
    return embedded().flatMap((q, i) => {
      const weights = k.slice(0, i + 1).map((key) => Math.exp(dot(q, key) * 0.5));
      const total = weights.reduce((a, b) => a + b);
      return all.map((c) => weights.reduce((s, w, j) => s + (w / total) * (v[j]?.[c] ?? 0), 0));
    });
  };
  near(
    resultOf(bound),
    attention((row) => row),
  );
  near(resultOf(bound, precision`** { kv: ${fp8} }`), attention(kept));
  expect(resultOf(bound, precision`** { kv: f16 }`)).not.toEqual(resultOf(bound));
});

test('kv of a model is what a sheet for all of it says, and sheets have the last word', () => {
  const half = { ...llama, kv: 'f16' as const }.with();
  const text = (bound: BoundModel, ...sheets: readonly SheetSource[]): string =>
    printGraph(graphOf(bound, ...sheets));
  expect(text(half)).toBe(text(llama, precision`** { kv: f16 }`));
  expect(text(half)).toContain('to = "f16"');
  expect(text(half.set({}).with(precision`** { kv: f32 }`))).toBe(text(llama));
  expect(text(half, precision`** { kv: ${int8()} }`)).toBe(
    text(llama, precision`** { kv: ${int8()} }`),
  );
  const loops = (sheet: SheetSource): readonly number[] =>
    graphOf(half, sheet).nodes.flatMap((n) => (n.kind === 'loop' ? [n.count] : []));
  expect(loops(precision`layers[1..] { kv: f32 }`)).toEqual([1, 2]);
  expect(loops(precision`layers[1..] { kv: f16 }`)).toEqual([3]);
});

test('layers whose numbers differ are runs', () => {
  const loops = (sheet: SheetSource): readonly number[] =>
    graphOf(llama, sheet).nodes.flatMap((n) => (n.kind === 'loop' ? [n.count] : []));
  expect(loops(precision`layers { kv: ${fp8} }`)).toEqual([3]);
  expect(loops(precision`layers[1..] { kv: ${fp8} }`)).toEqual([1, 2]);
  expect(loops(precision`layers[2..] { activations: ${int8()} }`)).toEqual([2, 1]);
});

test('what would depend on company and what wasm has no kernels for is refused', () => {
  expect(() => graphOf(llama, precision`** { activations: ${fp8Blocks(128)} }`)).toThrow(
    'a scheme with groups inside one row in a hole',
  );
  expect(() =>
    compileProgram(llama, undefined, { sheets: [precision`layers { kv: ${fp8} }`] }),
  ).toThrow(/precision.kv of layers.0 is fp8, which only .*--target reference/);
  const own = bind(model`
    own(ids: i32 [t]) -> [t, 4] {
      weight embed: [8, 4]
      return through(embed[ids], scheme = ${'{}'})
    }
  `);
  expect(() => compileProgram(own, undefined)).toThrow('no scheme is written as {}');
});
