/** Schedules of products: none changes a result, and the cost model ranks what is known. */
import { describe, expect, test } from 'vitest';
import { configOf, llama1b } from '../bench/checkpoints.ts';
import {
  type Work,
  candidatesFor,
  margin,
  rank,
  unseparated,
} from '../compiler/5-kernel/choose.ts';
import { type Core, avx2Core, avx512Core } from '../compiler/5-kernel/core.ts';
import { type SimdMachine, wasmMachine, x86Machine } from '../compiler/5-kernel/machine.ts';
import {
  type Schedule,
  type Shape,
  scheduleIn,
  sameSchedule,
  shapesOf,
} from '../compiler/5-kernel/schedule.ts';
import { buildProgram } from '../compiler/6-program/build.ts';
import { compileProgram } from '../compiler/compile.ts';
import { type BoundModel, precision } from '../compiler/index.ts';
import { int8, modelOf, q4_0 } from '../stdlib/index.ts';
import { type StepRunner, runKernels } from './helpers/kernel-run.ts';
import { lacksNative, nativeRunner } from './helpers/native-run.ts';
import { randomCheckpoint } from './helpers/random-checkpoint.ts';
import { wasmRunner } from './helpers/wasm-run.ts';

const quantised = precision`:linear { weights: ${q4_0}; activations: ${int8(32)} }`;

/** Every candidate for one token beside one for many, and stages of 4. */
function schedulesOf(machine: SimdMachine): readonly Schedule[] {
  const { open } = machine;
  const one = open.ahead.flatMap((ahead) => open.streams.map((streams) => ({ ahead, streams })));
  const many = open.together.flatMap((together) =>
    open.staged.map((staged) => ({ together, staged })),
  );
  const pairs = Array.from({ length: Math.max(one.length, many.length) }, (_, i): Schedule => {
    return { ...scheduleIn(machine), ...one[i % one.length], ...many[i % many.length] };
  });
  return [...pairs, { ...scheduleIn(machine), together: 4, staged: 4 }];
}

/** Each value of each field once: for code that takes seconds to build, or that only reads otherwise. */
const valuesOf = ({ open }: SimdMachine): readonly Schedule[] =>
  open.together.map((together, i) => ({
    together,
    ahead: open.ahead[i % open.ahead.length] ?? 0,
    streams: open.streams[i] ?? 1,
    staged: open.staged[i] ?? 16,
  }));

describe('no candidate changes a bit', () => {
  const shape = { width: 32, depth: 1, heads: 2, kvHeads: 1, head: 32, dtype: 'F32', context: 64 } as const; // prettier-ignore
  // 64 units inside: two stretches side by side; heads of two bands.
  const wide = randomCheckpoint({ ...shape, vocab: 67, inner: 1024 });
  const small = randomCheckpoint({ ...shape, vocab: 35, inner: 48 });
  const prompt = Array.from({ length: 16 }, (_, i) => (i * 11 + 3) % 35);

  const compiled = [[wide, 16], [wide, 1]] as const; // prettier-ignore
  const interpreted = [[small, 16], [wide, 1]] as const; // prettier-ignore

  async function same(
    machine: SimdMachine,
    sheets: BoundModel['sheets'],
    runs: typeof compiled | typeof interpreted,
    runner: () => StepRunner | undefined,
    schedules = schedulesOf(machine),
  ): Promise<void> {
    // Bundles are kept by model.
    const models = new Map(runs.map(([m]) => [m, { ...m.bound, sheets }]));
    const all = async (schedule: Schedule): Promise<readonly (readonly Float32Array[])[]> => {
      const run = runner();
      const found: (readonly Float32Array[])[] = [];
      for (const [source, step] of runs) {
        const { folder } = source;
        const model = models.get(source) ?? source.bound;
        const own = { ...machine, ...schedule };
        found.push(await runKernels(model, folder, prompt, undefined, run, own, [step])); // prettier-ignore
      }
      return found;
    };
    const own = await all(scheduleIn(machine));
    for (const schedule of schedules) {
      expect(await all(schedule), JSON.stringify(schedule)).toEqual(own);
    }
  }

  test.each([wasmMachine, x86Machine])(
    'in the kernel interpreter, $name',
    async (machine) => same(machine, [quantised], interpreted, () => undefined),
    240_000,
  );

  test('in wasm', async () => {
    const floats = precision`:linear { weights: ${q4_0} }`;
    const runner = () => wasmRunner(false);
    await same(wasmMachine, [quantised], compiled, runner);
    await same(wasmMachine, [floats], compiled, runner, valuesOf(wasmMachine));
  }, 120_000);

  const lacks = lacksNative('avx2');
  test.skipIf(lacks !== '')(
    `in native code${lacks}`,
    async () => {
      const runner = () => nativeRunner({ os: 'linux', isa: 'avx2' }, 2);
      await same(x86Machine, [quantised], compiled, runner, valuesOf(x86Machine));
    },
    240_000,
  );
});

describe('the cost model', () => {
  const bound = modelOf(configOf({ ...llama1b(2), vocab: 512 }));
  const { plan, program } = compileProgram(bound, undefined, { sheets: [quantised] });
  const shapes = shapesOf(plan);
  const shapeNamed = (start: string): Shape => {
    const found = shapes.find((s) => s.name.startsWith(start));
    if (!found) throw new Error(`no product ${start}`);
    return found;
  };
  const [down, head] = [shapeNamed('2048x8192'), shapeNamed('512x2048 f32')];
  const work = (core: Core, tokens: number): Work => ({
    plan,
    region: down.region,
    machine: x86Machine,
    core,
    tokens,
    threads: 2,
  });
  const secondsOf = (w: Work, change: Partial<Schedule>): number => {
    const schedule: Schedule = { ...scheduleIn(x86Machine), ...change };
    return rank(w, [schedule])[0]?.seconds ?? Number.NaN;
  };

  test('has each shape of the model once', () => {
    expect(shapes.map((s) => `${s.name} x${s.count}`)).toMatchInlineSnapshot(`
      [
        "2048x2048 q4_0 x codes of 32 by 64 + 512x2048 q4_0 x codes of 32 by 64 + 512x2048 q4_0 x codes of 32 by 16 x2",
        "2048x2048 q4_0 x codes of 32 by 16 x2",
        "8192x2048 q4_0 x codes of 32, 8192x2048 q4_0 x codes of 32 by 16 x2",
        "2048x8192 q4_0 x codes of 32 by 16 x2",
        "512x2048 f32 x floats by 16 x1",
      ]
    `);
  });

  test('one token: a single stream with nothing asked for ahead is far slower, and left out', () => {
    const w = work(avx512Core, 1);
    const alone = secondsOf(w, { ahead: 0, streams: 1 });
    expect(alone).toBeGreaterThan(2 * secondsOf(w, {}));
    const left = unseparated(rank(w, candidatesFor(w, 1)));
    expect(left.length).toBeGreaterThan(1);
    expect(left.some(({ schedule }) => sameSchedule(schedule, x86Machine))).toBe(true);
    expect(left.every(({ seconds }) => seconds <= (1 + margin) * (left[0]?.seconds ?? 0))).toBe(
      true,
    );
    expect(left.some((e) => e.schedule.ahead === 0 && e.schedule.streams === 1)).toBe(false);
  });

  test('one token: a faster core does not read faster', () => {
    const faster = { ...avx512Core, perSecond: 2 * avx512Core.perSecond };
    expect(secondsOf(work(faster, 1), {})).toBe(secondsOf(work(avx512Core, 1), {}));
  });

  test('many tokens: a pass that more of them share unpacks less', () => {
    const w = work(avx512Core, 128);
    expect(secondsOf(w, { together: 1 })).toBeGreaterThan(1.5 * secondsOf(w, { together: 8 }));
  });

  test('many tokens: sums of 16 tokens find no registers in AVX2', () => {
    const ratio = (core: Core): number => {
      const w: Work = { ...work(core, 128), region: head.region };
      return secondsOf(w, { together: 16 }) / secondsOf(w, { together: 4 });
    };
    expect(ratio(avx2Core)).toBeGreaterThan(1.5);
    expect(ratio(avx512Core)).toBeLessThan(1 + margin);
  });

  test('many tokens: each stage reads the matrix again', () => {
    const w = work({ ...avx512Core, perSecond: 1e15 }, 128);
    expect(secondsOf(w, { staged: 32 }) / secondsOf(w, { staged: 64 })).toBeGreaterThan(1.5);
    // Operands that the cache does not hold are read again for each unit.
    const small = { ...w, core: { ...w.core, memory: { ...w.core.memory, cache: 2 ** 16 } } };
    expect(secondsOf(small, { staged: 64 })).toBeGreaterThan(secondsOf(w, { staged: 64 }));
  });

  test('candidates that come to the same kernel are one', () => {
    const w: Work = { ...work(avx512Core, 1), region: head.region };
    expect(rank(w, candidatesFor(w, 1))).toHaveLength(1);
  });

  test('a schedule is taken by its shape alone', () => {
    const schedule: Schedule = { together: 4, ahead: 0, streams: 1, staged: 32 };
    const other = buildProgram(plan, program.limits, {
      ...wasmMachine,
      schedules: new Map([[down.name, schedule]]),
    });
    const follow = other.kernels.filter(
      (k) =>
        sameSchedule({ ...schedule, ...k.schedule }, schedule) &&
        k.schedule['staged'] !== undefined,
    );
    expect(follow).toHaveLength(1);
    expect(other.kernels.filter((k) => !follow.includes(k))).toEqual(
      program.kernels.filter((k) => k.name !== follow[0]?.name),
    );
    expect(JSON.stringify(buildProgram(plan, program.limits, wasmMachine))).toBe(
      JSON.stringify(program),
    );
  });
});
