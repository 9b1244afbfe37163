/** `npm run bench -- cpu`: Cograph on the CPU beside its peers, row by row of the table in `rows.ts`. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, cpus, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { openBandwidthMeter, type BandwidthMeter } from '../bandwidth.ts';
import { type Browser, openBrowser } from './browser.ts';
import { modelFile } from './models.ts';
import { measureLoad, measureMemory, measurePerplexity } from './once.ts';
import { disturbanceText, keep, quiet, rowText } from './report.ts';
import type { Machine, Measured, RowResult } from './result.ts';
import { type Row, rows } from './rows.ts';
import { installBrowser, installPeers } from './setup.ts';
import { type Effort, measureSpeed } from './speed.ts';
import { type Tools, makeTools, root } from './tools.ts';

export interface CpuFlags {
  /** Beginnings of names; all rows unless given. */
  readonly row?: readonly string[];
  readonly rounds?: number;
  readonly quick?: boolean;
  readonly list?: boolean;
  readonly json?: boolean;
  /** Takes the place of native code. */
  readonly target?: 'wasm';
}

/** Exit status 1 where a row failed. Figures that are not reached are no failure. */
export async function benchCpu(flags: CpuFlags): Promise<void> {
  const wanted = rows
    .filter((r) => flags.row?.some((p) => r.name.startsWith(p)) ?? true)
    .map((r) =>
      flags.target !== undefined && r.ours === 'native' ? { ...r, ours: flags.target } : r,
    );
  if (flags.list === true) {
    const width = Math.max(...rows.map((r) => r.name.length));
    const lines = wanted.map((r) => `${r.name.padEnd(width)}  ${r.title}`);
    process.stdout.write(flags.json === true ? `${JSON.stringify(wanted, null, 1)}\n` : `${lines.join('\n')}\n`); // prettier-ignore
    return;
  }
  const quick = flags.quick === true;
  const effort = { rounds: flags.rounds ?? (quick ? 3 : 7), quick };
  const tools = makeTools(join(root, '.cache/bench'));
  const peers = installPeers(tools);
  if (wanted.some((r) => r.ours === 'chromium')) installBrowser();
  const meter = await openBandwidthMeter(tools.cache);
  const machine = describeMachine();
  const commit = describeCommit();
  const results: RowResult[] = [];
  for (const [i, row] of wanted.entries()) {
    tools.note(`${i + 1}/${wanted.length} ${row.name}: ${row.title}`);
    const disturbance = await disturbed();
    if (disturbance > quiet) tools.note(`  ${disturbanceText(disturbance)}`);
    const outcome = await measured(row, effort, meter, tools);
    const result: RowResult = {
      name: row.name,
      title: row.title,
      date: new Date().toISOString(),
      rounds: effort.rounds,
      commit,
      machine,
      disturbance,
      versions: { ...peers, ...outcome.versions },
      ...outcome.result,
    };
    results.push(result);
    if (flags.json !== true) process.stdout.write(`${rowText(result)}\n`);
    // After each row: who stops early keeps what there is. Quick figures are not worth keeping.
    if (!quick && flags.target === undefined) keep(join(root, 'bench/results'), [result]);
  }
  if (flags.json === true) process.stdout.write(`${JSON.stringify(results, null, 1)}\n`);
  if (results.some((r) => r.error !== undefined)) process.exitCode = 1;
}

/** How busy others keep the cores, from 0 to 1, over a second in which nothing of ours runs. */
async function disturbed(): Promise<number> {
  const sum = (): { readonly idle: number; readonly all: number } => {
    const times = cpus().map((c) => c.times);
    const all = times.flatMap((t) => Object.values(t)).reduce((a, b) => a + b, 0);
    return { idle: times.reduce((a, t) => a + t.idle, 0), all };
  };
  const from = sum();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const to = sum();
  return to.all === from.all ? 0 : 1 - (to.idle - from.idle) / (to.all - from.all);
}

interface Outcome {
  readonly versions: Readonly<Record<string, string>>;
  readonly result: { readonly measured: Measured } | { readonly error: string };
}

/** A row's failure is its result: the other rows go on. */
async function measured(
  row: Row,
  effort: Effort,
  meter: BandwidthMeter,
  tools: Tools,
): Promise<Outcome> {
  let browser: Browser | undefined;
  const versions = (): Readonly<Record<string, string>> =>
    browser === undefined ? {} : { chromium: browser.version };
  try {
    const place = {
      file: await modelFile(row.model, tools),
      tools,
      browser: async () => (browser ??= await openBrowser(tools)),
    };
    const result = { measured: await measureRow(row, place, effort, meter) };
    return { versions: versions(), result };
  } catch (e) {
    const error = e instanceof Error ? e.message : String(e);
    return { versions: versions(), result: { error } };
  } finally {
    await browser?.close();
  }
}

function measureRow(
  row: Row,
  place: Parameters<typeof measureLoad>[1],
  effort: Effort,
  meter: BandwidthMeter,
): Promise<Measured> {
  switch (row.kind) {
    case 'load':
      return measureLoad(row, place, effort);
    case 'memory':
      return measureMemory(row, place);
    case 'perplexity':
      return measurePerplexity(row, place, effort);
    default:
      return measureSpeed(row, place, effort, meter);
  }
}

function describeMachine(): Machine {
  const flags = (): string =>
    /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
  const known = ['avx2', 'avx_vnni', 'avx512f', 'avx512_vnni', 'amx_int8', 'asimddp', 'i8mm'];
  const has = process.platform === 'linux' ? flags().split(' ') : [];
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    features: known.filter((f) => has.includes(f)),
    system: `${type()} ${release()} ${arch()}`,
    node: process.version,
  };
}

function describeCommit(): string {
  try {
    const git = (...args: readonly string[]): string =>
      execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim(); // prettier-ignore
    const changed = git('status', '--porcelain', '--', 'compiler', 'runtime', 'stdlib');
    return `${git('rev-parse', '--short', 'HEAD')}${changed === '' ? '' : '+'}`;
  } catch {
    return 'unknown';
  }
}
