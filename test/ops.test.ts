/** Every op's lowering against its meaning, on its own samples. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { opsBook } from '../scripts/ops-book.ts';
import { type Dim, constantDim, showDim, symbol } from '../compiler/base/dim.ts';
import type { TensorType } from '../compiler/base/type.ts';
import { withDefaults } from '../compiler/3-graph/builder.ts';
import { type OpName, isOpName, opOf, ops } from '../compiler/ops/index.ts';
import {
  type EvalContext,
  type Loops,
  type NdArray,
  type Sample,
  isProblem,
} from '../compiler/ops/op.ts';
import { evaluate } from '../compiler/scalar/eval.ts';
import { type Expr, int, num } from '../compiler/scalar/expr.ts';
import { makeRandom } from './helpers/random-checkpoint.ts';

const sizes = new Map([
  ['t', 5],
  ['r', 2],
  ['c', 0],
]);
const sizeOf = (d: Dim): number => constantDim(d) ?? sizes.get(showDim(d)) ?? NaN;
const concrete = (t: TensorType): TensorType<number> => ({
  dtype: t.dtype,
  shape: t.shape.map(sizeOf),
});

function typesOf(text: string): TensorType[] {
  return [...text.matchAll(/(\w+)\[([^\]]*)\]/g)].map(([, dtype, dims = '']) => ({
    dtype: dtype === 'i32' ? 'i32' : 'f32',
    shape: dims === '' ? [] : dims.split(', ').map((d) => (sizes.has(d) ? symbol(d) : Number(d))),
  }));
}

function operandsOf(types: readonly TensorType[], sample: Sample, seed: number): NdArray[] {
  const random = makeRandom(seed);
  return types.map((type) => {
    const { shape, dtype } = concrete(type);
    const draw = (): number => {
      const u = random();
      if (dtype === 'i32') return Math.floor(((u + 1) / 2) * (sample.below ?? 4));
      return Math.fround(sample.positive === true ? Math.abs(u) + 0.1 : 2 * u);
    };
    return { shape, data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, draw) };
  });
}

const noState: EvalContext = {
  step: {
    ids: new Int32Array(5), sequence: new Int32Array(5), position: new Int32Array(5),
    slot: new Int32Array(5), length: new Int32Array(5), rows: new Int32Array(2),
    table: new Int32Array(1), blocksPerSequence: 1, block: 16,
  },
  state: { row: () => new Float64Array(0), positionOf: () => 0, setPosition: () => undefined },
}; // prettier-ignore

/** Each result element from the lowering's own expressions. */
function byLoops(loops: Loops, operands: readonly NdArray[]): number[] {
  const shape = loops.over.map(sizeOf);
  const out: number[] = [];
  const env = {
    variable: (): number => NaN,
    at: (operand: number, index: readonly number[]): number => {
      const x = operands[operand];
      if (!x) return NaN;
      const flat = x.shape.reduce((n, size, axis) => {
        const i = index[axis] ?? NaN;
        expect(i >= 0 && i < size, `index ${i} of ${size}`).toBe(true);
        return n * size + i;
      }, 0);
      return x.data[flat] ?? NaN;
    },
  };
  const element = (index: readonly number[]): number => {
    const last = index.at(-1) ?? 0;
    const piece = loops.pieces.find((p) => last < sizeOf(p.until)) ?? loops.pieces.at(-1);
    if (!piece) return NaN;
    const at = index.map((i) => int(i));
    if (!loops.reduce) return evaluate(piece.body(at, int(0)), env);
    const { monoid, extent } = loops.reduce;
    const constants = (values: readonly number[]): Expr[] =>
      values.map((v, i) => num(v, monoid.state[i]?.dtype));
    let state = monoid.state.map((c) => c.identity);
    for (let k = 0; k < sizeOf(extent); k++) {
      const value = evaluate(piece.body(at, int(k)), env);
      const next = monoid.combine(constants(state), constants([value, k].slice(0, state.length)));
      state = next.map((e) => evaluate(e, env));
    }
    return evaluate(monoid.finish(constants(state)), env);
  };
  const visit = (index: readonly number[]): void => {
    const size = shape[index.length];
    if (size === undefined) out.push(element(index));
    else for (let i = 0; i < size; i++) visit([...index, i]);
  };
  visit([]);
  return out;
}

const names = Object.keys(ops).filter((n): n is OpName => isOpName(n));

describe.each(names)('%s', (name) => {
  const def = opOf(name);

  test('is documented', () => {
    expect(def.doc).toMatch(/^[A-Z].*\.$/s);
    for (const [key, spec] of Object.entries(def.attrs)) expect(spec.doc, key).not.toBe('');
  });

  // The cache and attention are held to their meaning by whole models.
  const samples = def.samples;
  if (samples.length === 0) return;
  test('lowers to what it means', () => {
    for (const [n, sample] of samples.entries()) {
      if (def.expand) continue;
      const types = typesOf(sample.inputs);
      const attrs = withDefaults(name, sample.attrs);
      const inferred = def.infer(types, attrs);
      if (isProblem(inferred)) throw new Error(inferred.text);
      const operands = operandsOf(types, sample, n + 1);
      const meant = def.evaluate(operands, inferred.map(concrete), attrs, noState, '');
      const lowered = def.lower(types, inferred, attrs);
      expect(meant.map((m) => m.shape)).toEqual(inferred.map((t) => concrete(t).shape));
      if (lowered.kind === 'view') expect(meant[0]?.data).toEqual(operands[0]?.data);
      if (lowered.kind !== 'loops') continue;
      lowered.results.forEach((loops, r) => {
        const wanted = [...(meant[r]?.data ?? [])];
        const found = byLoops(loops, operands);
        expect(found).toHaveLength(wanted.length);
        found.forEach((v, i) => {
          const w = wanted[i] ?? NaN;
          // Doubles on both sides: only the order of sums may differ.
          expect(Math.abs(v - w) / Math.max(1, Math.abs(w))).toBeLessThan(1e-9);
        });
      });
    }
  });
});

test('spec/ops.md is what the records say', () => {
  const book = readFileSync(fileURLToPath(new URL('../spec/ops.md', import.meta.url)), 'utf8');
  expect(book, 'run npm run docs').toBe(opsBook());
});
