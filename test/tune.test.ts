/** `compile --tune`: the cache of what was measured, who wins, and the command on a tiny model. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { configOf } from '../bench/checkpoints.ts';
import { type SimdMachine, wasmMachine, x86Machine } from '../compiler/5-kernel/machine.ts';
import { scheduleIn, shapesOf } from '../compiler/5-kernel/schedule.ts';
import { probeProgram, regionBytes } from '../compiler/6-program/probe.ts';
import { verifyProgram } from '../compiler/6-program/verify.ts';
import { openNativeTools } from '../compiler/cli/native-tools.ts';
import { type TuneEntry, type TuneKey, openCache } from '../compiler/cli/tune/cache.ts';
import { measure, openProbe, rounds, winnerOf } from '../compiler/cli/tune/measure.ts';
import {
  type ProbeTarget,
  writeProbe,
  writeProbeWeights,
} from '../compiler/cli/tune/probe-files.ts';
import { compileProgram } from '../compiler/compile.ts';
import { precision } from '../compiler/index.ts';
import { int8, q4_0 } from '../stdlib/index.ts';
import { lacksNative } from './helpers/native-run.ts';
import { readManifest } from '../runtime/validate.ts';
import { loadBundle, temporaryFolder } from './helpers/models.ts';
import { randomCheckpoint } from './helpers/random-checkpoint.ts';

const own = scheduleIn(x86Machine);
const key: TuneKey = {
  cpu: 'Some CPU',
  target: 'native',
  isa: 'avx2',
  threads: 2,
  compiler: '1.0.0',
  shape: '64x64 f32 x floats by 16',
  own,
  chunk: 128,
};
const entry: TuneEntry = {
  schedule: { ...own, together: 4 },
  measured: [{ tokens: 128, schedule: own, milliseconds: 1.5 }],
};

describe('the cache', () => {
  const newFile = (): string => join(temporaryFolder(), 'cograph', 'schedules.json');

  test('gives what was put in, to whoever opens it next, and to no other question', async () => {
    const file = newFile();
    const cache = await openCache(file);
    expect(cache.trouble).toBeUndefined();
    expect(cache.get(key)).toBeUndefined();
    await cache.put(key, entry);
    const again = await openCache(file);
    expect(again.get(key)).toEqual(entry);
    const others: readonly Partial<TuneKey>[] = [
      { cpu: 'Another CPU' },
      { isa: 'avx512' },
      { target: 'wasm' },
      { threads: 1 },
      { compiler: '1.0.1' },
      { shape: '64x128 f32 x floats by 16' },
      { own: { ...own, ahead: 0 } },
      { chunk: 64 },
    ];
    for (const other of others) expect(again.get({ ...key, ...other })).toBeUndefined();
    expect(readdirSync(dirname(file))).toEqual(['schedules.json']);
  });

  test('two compiles at once lose nothing of each other', async () => {
    const file = newFile();
    const [one, two] = [await openCache(file), await openCache(file)];
    const other = { ...key, shape: 'another' };
    await one.put(key, entry);
    await two.put(other, entry);
    const both = await openCache(file);
    expect([both.get(key), both.get(other)]).toEqual([entry, entry]);
  });

  test.each([
    ['no JSON', '{"format"', /is no JSON/],
    ['another format', '{"format": "else", "version": 1, "entries": {}}', /written anew/],
    ['a later version', '{"format": "cograph-schedules", "version": 2, "entries": {}}', /anew/],
  ])('a file that is %s is told of, and written anew', async (_, text, trouble) => {
    const file = newFile();
    mkdirSync(dirname(file));
    writeFileSync(file, text);
    const cache = await openCache(file);
    expect(cache.trouble).toMatch(trouble);
    expect(cache.get(key)).toBeUndefined();
    await cache.put(key, entry);
    expect((await openCache(file)).trouble).toBeUndefined();
    expect((await openCache(file)).get(key)).toEqual(entry);
  });

  test.each([
    ['together', 3],
    ['together', 128],
    ['streams', 8],
    ['ahead', -64],
    ['ahead', 'far'],
    ['staged', 12],
  ])('an entry whose %s is %s is not used', async (field, value) => {
    const file = newFile();
    await (await openCache(file)).put(key, entry);
    const text = readFileSync(file, 'utf8');
    const damaged: unknown = JSON.parse(text, (k, v: unknown) => (k === field ? value : v));
    writeFileSync(file, JSON.stringify(damaged));
    const cache = await openCache(file);
    expect(cache.trouble).toMatch(/1 entries are damaged/);
    expect(cache.get(key)).toBeUndefined();
  });
});

describe('measuring', () => {
  const times = (each: number, slow: readonly number[] = []): number[] =>
    Array.from({ length: rounds }, (_, i) => (slow.includes(i) ? 10 * each : each));

  test('the fastest wins where it is faster in all rounds but one', () => {
    expect(winnerOf([times(2), times(1.9), times(1.5)])).toBe(2);
    expect(winnerOf([times(2), times(1.9, [3])])).toBe(1);
    expect(winnerOf([times(2), times(1.9, [3, 5])])).toBe(0);
    expect(winnerOf([times(2), times(2.1)])).toBe(0);
    expect(winnerOf([times(2)])).toBe(0);
  });

  test('runners take turns, and each begins some rounds', async () => {
    let clock = 0;
    const order: number[] = [];
    const runner = (name: number, takes: number) => ({
      run() {
        order.push(name);
        clock += takes;
        return Promise.resolve();
      },
      close: () => undefined,
    });
    const signal = new AbortController().signal;
    const found = await measure([runner(0, 60), runner(1, 70)], signal, () => clock);
    expect(found).toEqual([times(60), times(70)]);
    const counted = order.slice(-2 * rounds);
    expect(counted.slice(0, 4)).toEqual([0, 1, 1, 0]);
  });

  test('stops between steps once it is told to', async () => {
    const controller = new AbortController();
    let steps = 0;
    const run = () => {
      if (++steps === 8) controller.abort(new Error('enough'));
      return Promise.resolve();
    };
    let clock = 0;
    const now = () => (clock += 40);
    const measured = measure([{ run, close: () => undefined }], controller.signal, now);
    await expect(measured).rejects.toThrow('enough');
    expect(steps).toBe(8);
  });
});

describe('the command', () => {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const command = ['--conditions=source', '--import', 'tsx', 'compiler/cli/main.ts'];
  const shape = { vocab: 35, width: 32, inner: 48, depth: 1, heads: 2, kvHeads: 1, head: 16 };
  const { folder } = randomCheckpoint({ ...shape, dtype: 'F32', context: 64 });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configOf({ ...shape, name: 'tiny' })));
  const base = temporaryFolder();
  const [caches, temporary] = [join(base, 'caches'), join(base, 'tmp')];
  mkdirSync(temporary);
  const options = {
    cwd: root,
    env: { ...process.env, XDG_CACHE_HOME: caches, TMPDIR: temporary },
    encoding: 'utf8',
  } as const;
  const args = (out: string, ...more: string[]): string[] => [
    ...command,
    'compile',
    folder,
    '--tune',
    '--max-step',
    '16',
    ...(out === '' ? [] : ['--out', join(base, out)]),
    ...more,
  ];
  const probes = (): readonly string[] =>
    readdirSync(temporary).filter((f) => f.startsWith('cograph'));
  const file = join(caches, 'cograph', 'schedules.json');

  interface Told {
    readonly tuned: { readonly cache: string; readonly shapes: readonly Shape[] };
  }
  interface Shape extends TuneEntry {
    readonly shape: string;
    readonly cached: boolean;
  }
  const tuned = (out: string): Told => {
    const { status, stdout, stderr } = spawnSync(process.execPath, args(out, '--json'), options);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    return JSON.parse(stdout) as Told;
  };
  const manifestOf = (out: string) =>
    readManifest(readFileSync(join(base, out, 'manifest.json'), 'utf8'));

  test('Ctrl-C leaves nothing behind but what was measured', async () => {
    const child = spawn(process.execPath, args('stopped'), { ...options, stdio: 'ignore' });
    const ended = new Promise<number | null>((done) => child.once('exit', done));
    const looking = setInterval(() => {
      if (probes().length === 0) return;
      clearInterval(looking);
      child.kill('SIGINT');
    }, 5);
    expect(await ended).toBe(130);
    expect(probes()).toEqual([]);
    expect(readdirSync(base).filter((f) => f.startsWith('stopped'))).toEqual([]);
  }, 60_000);

  test('measures each shape once; the next compile measures nothing; results are the same', async () => {
    const first = tuned('first');
    expect(first.tuned.cache).toBe(file);
    expect(first.tuned.shapes.length).toBeGreaterThan(3);
    const measured = first.tuned.shapes.flatMap((s) => s.measured);
    expect(measured.length).toBeGreaterThan(3);
    expect(measured.every((m) => m.milliseconds > 0)).toBe(true);
    expect(probes()).toEqual([]);

    const second = tuned('second');
    expect(second.tuned.shapes.every((s) => s.cached)).toBe(true);
    expect(second.tuned.shapes.map((s) => ({ ...s, cached: false }))).toEqual(
      first.tuned.shapes.map((s) => ({ ...s, cached: false })),
    );

    // What was found for a shape is what the bundle is made with, and what it tells.
    const chosen = { together: 2, ahead: 0, streams: 1, staged: 4 } as const;
    const kept = JSON.parse(readFileSync(file, 'utf8')) as { entries: Record<string, TuneEntry> };
    const [some = ''] = Object.keys(kept.entries).filter((k) => k.includes('48x32'));
    kept.entries[some] = { schedule: chosen, measured: [] };
    writeFileSync(file, JSON.stringify(kept));
    const third = tuned('third');
    const name = third.tuned.shapes.find((s) => s.schedule.together === 2)?.shape;
    expect(manifestOf('third').programs.wasm?.schedules).toContainEqual({ shape: name, ...chosen });
    const printed = spawnSync(process.execPath, args('', '--emit', 'kernel'), options);
    expect(printed.stdout).toContain('schedule staged 4, together 2, ahead 0, streams 1');

    const plain = spawnSync(
      process.execPath,
      args('plain').filter((a) => a !== '--tune'),
      options,
    );
    expect(plain.status).toBe(0);
    expect(manifestOf('plain').programs.wasm).not.toHaveProperty('schedules');
    const prompt = Array.from({ length: 16 }, (_, i) => (i * 11 + 3) % 35);
    const logits = async (out: string): Promise<readonly Float32Array[]> => {
      const model = await loadBundle(join(base, out));
      const rows = await model.logits(prompt);
      model.close();
      return rows;
    };
    expect(await logits('third')).toEqual(await logits('plain'));
    expect(existsSync(join(base, 'stopped'))).toBe(false);
  }, 120_000);

  test('where nothing can be kept it says so and compiles all the same', () => {
    const env = { ...options.env, XDG_CACHE_HOME: join(folder, 'config.json') };
    const { status, stderr } = spawnSync(process.execPath, args('unkept'), { ...options, env });
    expect(status).toBe(0);
    expect(stderr.match(/cannot be read/g)).toHaveLength(1);
    expect(stderr.match(/what is measured is not kept/g)).toHaveLength(1);
    expect(existsSync(join(base, 'unkept', 'manifest.json'))).toBe(true);
  }, 60_000);
});

describe('a probe', () => {
  const { bound } = randomCheckpoint({ vocab: 35, width: 64, inner: 96, depth: 3, heads: 2, kvHeads: 1, head: 32, dtype: 'F32', context: 64 }); // prettier-ignore
  const sheets = [precision`:linear { weights: ${q4_0}; activations: ${int8(32)} }`];
  const { plan } = compileProgram(bound, undefined, { sheets });
  const shapes = shapesOf(plan);
  const signal = new AbortController().signal;

  async function runProbes(machine: SimdMachine, target: ProbeTarget): Promise<void> {
    for (const { region } of shapes) {
      const program = probeProgram(plan, region, machine, 4, 3);
      expect(verifyProgram(program)).toEqual([]);
      expect(program.memory.weightBytes).toBeGreaterThanOrEqual(3 * regionBytes(plan, region, machine)); // prettier-ignore
      const place = temporaryFolder();
      const weights = await writeProbeWeights(program, join(place, 'shared'), signal);
      await writeProbe(program, weights, target, join(place, 'probe'), signal);
      const runner = await openProbe(program, join(place, 'probe'), target.kind, 2, signal);
      await runner.run();
      const found = runner.left();
      expect(found.every(Number.isFinite), region.name).toBe(true);
      runner.close();
    }
  }

  test('computes a region over copies of made-up weights in wasm', async () => {
    await runProbes(wasmMachine, { kind: 'wasm', threads: true });
  }, 60_000);

  const isa = lacksNative('avx512') === '' ? 'avx512' : 'avx2';
  const lacks = lacksNative(isa);
  test.skipIf(lacks !== '')(
    `in native code${lacks}`,
    async () => {
      const tools = await openNativeTools();
      await runProbes(x86Machine, { kind: 'native', variant: { os: 'linux', isa }, tools });
    },
    60_000,
  );
});
