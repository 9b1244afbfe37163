/** What the page's data says of sheets. */
import { describe, expect, test } from 'vitest';
import { deepseekV3 } from '../bench/check-time.ts';
import { precision } from '../compiler/index.ts';
import { q8_0 } from '../stdlib/index.ts';
import { dataOf, ruled, small, twice } from './helpers/views.ts';

describe('sheets', () => {
  const data = ruled(small);
  const of = (path: string) => data.scopes.find((s) => s.path === path);

  test('give every part its precision and its place, with the rule', () => {
    expect(of('layers[3..60].moe')?.properties).toEqual([
      { name: 'weights', value: 'q4_0, as sheets say' },
      { name: 'place.on, layers 3..30', value: 'gpu, by **' },
      { name: 'place.on, layers 31..60', value: 'auto, by layers[31..].moe' },
      { name: 'precision.weights', value: 'q4_0, by :experts' },
    ]);
    expect(of('layers[3..60].self_attn')?.properties).toEqual([
      { name: 'weights', value: 'bf16, as sheets say' },
      { name: 'place.on', value: 'gpu, by **' },
      { name: 'precision.weights', value: 'bf16, by **' },
    ]);
    expect(of('layers[3..60].self_attn')?.precision).toBe('bf16');
    expect(of('layers[3..60].moe')?.weights[0]?.type).toBe('q4_0[256, 2048, 7168]');
  });

  test('count the bytes of a scheme with its scales, stored and read', () => {
    const plain = dataOf(deepseekV3());
    const at = plain.scopes.findIndex((s) => s.path === 'layers[3..60].moe');
    const [, bytes, flops, read] = plain.scopes[at]?.cost ?? [];
    const [, fewer, same, less] = data.scopes[at]?.cost ?? [];
    expect(same).toBe(flops);
    // Four bits and a sixteenth of a half: 4.5 of 32.
    expect((fewer ?? 0) / (bytes ?? 0)).toBeCloseTo(4.5 / 32, 9);
    expect((less ?? 0) / (read ?? 0)).toBeCloseTo(4.5 / 32, 9);
  });

  test('of one layer take it out of the body of its neighbours', () => {
    const layered = ruled(twice.with(precision`layers[1] { weights: ${q8_0} }`));
    const mlp = (path: string) => layered.scopes.find((s) => s.path === path);
    expect(mlp('layers[0].mlp')?.precision).toBe('f32');
    expect(mlp('layers[1].mlp')?.precision).toBe('q8_0');
    expect(mlp('layers[1].mlp')?.properties[1]).toEqual({
      name: 'precision.weights',
      value: 'q8_0, by layers[1]',
    });
    // Rows of 4 and of 7 each have a scale of 16 bits.
    const bits = (8 + 16 / 4 + 8 + 16 / 7) * 28;
    expect(mlp('layers[1].mlp')?.cost[1]).toBeCloseTo(bits / 8, 6);
  });
});
