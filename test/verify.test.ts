/** Plans, kernels and programs verify, and broken ones do not. */
import { describe, expect, test } from 'vitest';
import { type Compiled, compileProgram } from '../compiler/compile.ts';
import { verifyPlan } from '../compiler/4-partition/verify.ts';
import type { Plan, PlanItem } from '../compiler/4-partition/plan.ts';
import { verifyKernel } from '../compiler/5-kernel/verify.ts';
import { loop, store } from '../compiler/5-kernel/statements.ts';
import type { Program } from '../compiler/6-program/program.ts';
import { verifyProgram } from '../compiler/6-program/verify.ts';
import { num, variable } from '../compiler/scalar/expr.ts';
import bard from '../examples/bard/model.ts';

const { plan, program }: Compiled = compileProgram(bard, undefined);
const [kernel] = program.kernels;
if (!kernel) throw new Error('no kernel');

test('the bard verifies', () => {
  expect(verifyPlan(plan)).toEqual([]);
  expect(verifyProgram(program)).toEqual([]);
});

describe('a plan', () => {
  const change = (f: (items: readonly PlanItem[]) => readonly PlanItem[]): Plan => ({
    ...plan,
    items: f(plan.items),
  });
  test('whose regions are in no order', () => {
    const faults = verifyPlan(change((items) => [...items].reverse()));
    expect(faults.join('\n')).toMatch(/before it is written/);
  });
  test('without its last region', () => {
    const faults = verifyPlan(change((items) => items.slice(0, -1)));
    expect(faults.join('\n')).toMatch(/the result %\d+ is not written/);
  });
  test('whose groups wait for each other', () => {
    const merge = (items: readonly PlanItem[]): readonly PlanItem[] =>
      items.map((i): PlanItem => {
        if (i.kind === 'loop') return { ...i, items: merge(i.items) };
        if (i.region.kind !== 'contract') return i;
        const [group] = i.region.groups;
        if (!group || group.epilogue.length === 0) return i;
        const split = [
          { ...group, epilogue: [], stores: [] },
          { ...group, anchors: [], stores: [] },
        ];
        return { ...i, region: { ...i.region, groups: split } };
      });
    expect(verifyPlan(change(merge)).join('\n')).toMatch(/one group reads %\d+ of another/);
  });
});

describe('a kernel', () => {
  test.each([
    [
      'of unknown names',
      [loop('i', 0, 4, [store('x', variable('j'), num(1))])],
      /j is read before/,
    ],
    ['of unknown tiles', [store('nowhere', 0, num(1))], /nowhere is no tile/],
    [
      'that divides its threads twice',
      [loop('i', 0, 4, [loop('j', 0, 4, [], 'thread')], 'thread')],
      /divided already/,
    ],
  ])('%s', (_, body, message) => {
    expect(verifyKernel({ ...kernel, body }).join('\n')).toMatch(message);
  });
  test('whose sums depend on company, unless that was asked for', () => {
    const loose = { ...kernel, orderKept: false };
    expect(verifyKernel(loose).join('\n')).toMatch(/depends on company/);
    expect(verifyKernel(loose, { fast: true })).toEqual([]);
  });
  test('whose scratch is too small', () => {
    const needs = program.kernels.find((k) => k.scratchBytes > 0);
    if (!needs) throw new Error('no kernel with scratch');
    expect(verifyKernel({ ...needs, scratchBytes: 1 }).join('\n')).toMatch(/leaves the scratch/);
  });
});

describe('a program', () => {
  const faultsOf = (change: Partial<Program>): string =>
    verifyProgram({ ...program, ...change }).join('\n');
  test('with a smaller arena', () => {
    const memory = { ...program.memory, arenaBytes: 1000 };
    expect(faultsOf({ memory })).toMatch(/leaves the arena/);
  });
  test('whose buffers meet', () => {
    const buffers = program.memory.buffers.map((b) => ({ ...b, offset: 0 }));
    expect(faultsOf({ memory: { ...program.memory, buffers } })).toMatch(/live in one place/);
  });
  test('with an argument too few', () => {
    const body = program.body.map((i) =>
      i.kind === 'launch' ? { ...i, args: i.args.slice(1) } : i,
    );
    expect(faultsOf({ body })).toMatch(/takes \d+ arguments, not \d+/);
  });
});
