/** Attention in workgroups on a GPU: what the kernels' interpreter computes, blocks after blocks. */
import { describe, expect, test } from 'vitest';
import { precision } from '../compiler/index.ts';
import { int8 } from '../stdlib/index.ts';
import { type Token, attendKernels, attendStep, attendedTo } from './helpers/attend-kernels.ts';
import { softmax } from './helpers/attention.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { templateOf } from './helpers/template.ts';
import { gpu, note, webgpuRunner } from './helpers/webgpu.ts';

const heads = 'q: [t, heads, n], k: [t, kv, n], v: [t, kv, n]';
const block = templateOf(`own(${heads}) -> [t, heads, n] {
  return attend(q, k, v, sink = |h| 1 - h, mask = |i, j| j <= i and i - j < 200)
}`);
const weigh = (p: readonly number[], i: number, h: number): number[] =>
  softmax(p.map((x, j) => (i - j < 200 ? x : undefined)), 1 - h); // prettier-ignore
/** Drivers take many seconds to compile a kernel the first time. */
const patience = 240_000;

describe.skipIf(!gpu)(`on the GPU${note}`, () => {
  test.each([
    ['f32', 2, 64, []],
    ['f16', 3, 20, [precision`** { kv: f16 }`]],
    ['int8', 8, 128, [precision`:attention { kv: ${int8()} }`]],
  ] as const)('%s, groups of %i, heads of %i', async (_, group, head, sheets) => {
    const sizes = { vocab: 32, width: 16, heads: 2 * group, kv: 2, head };
    const k = attendKernels({ block }, sizes, sheets);
    const lengths = [300, 40];
    const last: Token[] = lengths.map((length, sequence) => ({ sequence, length }));
    const chunk = Array.from({ length: 20 }, (_, n) => ({ sequence: 0, length: 281 + n }));
    for (const tokens of [last, [...chunk, ...last.slice(1)]]) {
      const step = attendStep(k, lengths, tokens);
      await webgpuRunner()(step.program, step.memory, step.sizes);
      const wanted = tokens.map((t) => Float32Array.from(attendedTo(k, t, weigh)));
      expect(maxError(wanted, step.rows()) / deviationOf(wanted)).toBeLessThan(1e-5);
    }
  }, patience); // prettier-ignore
});
