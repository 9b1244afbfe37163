/** The benchmark of the CPU: its table, and how its results are kept. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { keep, rowText } from '../bench/cpu/report.ts';
import { type RowResult, spreadOf } from '../bench/cpu/result.ts';
import { rows } from '../bench/cpu/rows.ts';

const result = (name: string, ratio: number): RowResult => ({
  name,
  title: rows.find((r) => r.name === name)?.title ?? '',
  date: '2026-01-02T03:04:05.000Z',
  rounds: 3,
  commit: 'abc',
  machine: { cpu: 'x', cores: 2, memoryBytes: 2 ** 33, features: [], system: 'y', node: 'v20' },
  disturbance: 0.4,
  versions: { peer: '1.0' },
  measured: {
    unit: 'tok/s',
    ours: { engine: 'ours', values: [ratio], spread: spreadOf([10 * ratio]) },
    theirs: { engine: 'theirs', values: [10], spread: spreadOf([10]) },
    ratio: spreadOf([ratio, ratio - 0.1, ratio + 0.1]),
    reach: 1.2,
    reached: ratio >= 1.2,
    tried: [],
    notes: [],
  },
});

test('rows are told apart by their names', () => {
  expect(new Set(rows.map((r) => r.name)).size).toBe(rows.length);
  expect(new Set(rows.map((r) => r.title)).size).toBe(rows.length);
});

test('rows of earlier runs stay, in the order of the table, until they are measured again', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bench-cpu-'));
  try {
    const [first, second] = rows.map((r) => r.name);
    if (first === undefined || second === undefined) throw new Error('no rows');
    keep(folder, [result(second, 1.5)]);
    keep(folder, [result(first, 1.1)]);
    keep(folder, [result(second, 1.25)]);
    const kept = JSON.parse(readFileSync(join(folder, 'cpu.json'), 'utf8')) as {
      readonly rows: readonly RowResult[];
    };
    expect(kept.rows).toEqual([result(first, 1.1), result(second, 1.25)]);
    const text = readFileSync(join(folder, 'cpu.md'), 'utf8');
    expect(text).toContain('| 1.100 (1.000..1.200)x | >= 1.2x: NOT REACHED |');
    expect(text).toContain('| 1.250 (1.150..1.350)x | >= 1.2x: reached |');
    expect(text).toContain('others took 40 % of the cores');
    expect(text).not.toContain('1.500');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a row that failed says why', () => {
  const { measured: _, ...rest } = result(rows[0]?.name ?? '', 1);
  expect(rowText({ ...rest, error: 'no engine' })).toContain('failed: no engine');
});
