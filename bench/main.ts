/**
 * `npm run bench [decode|bard|compile|check ...]`: the figures that the project holds itself to. Ratios in
 * one run, medians of interleaved rounds; results are kept in `bench/results/`. `npm run bench -- cpu` measures
 * beside other engines.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import bard from '../examples/bard/model.ts';
import { modelOf } from '../stdlib/index.ts';
import { openBandwidthMeter } from './bandwidth.ts';
import { type CpuFlags, benchCpu } from './cpu/main.ts';
import { rows } from './cpu/rows.ts';
import { benchCheck } from './check-time.ts';
import { configOf, llama150m, makeCheckpoint } from './checkpoints.ts';
import { benchCompile } from './compile-time.ts';
import { type DecodeResult, benchDecode, compileInto } from './decode.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const names = ['decode', 'bard', 'compile', 'check'] as const;

interface Flags {
  readonly json?: boolean;
  readonly rounds: number;
}

const command = new Command('bench')
  .argument('[names...]', `what to measure: ${names.join(', ')} (default: all of these)`)
  .option('--json', 'print one JSON object')
  .option('--rounds <n>', 'rounds of each measurement', whole, 7)
  .enablePositionalOptions()
  .action(bench);
command
  .command('cpu')
  .description('native code and wasm beside llama.cpp, wllama and what the machine can do')
  .option('--row <name>', 'rows whose names begin so; may be given several times', collect)
  .option('--rounds <n>', 'interleaved rounds of each row (default: 7, with --quick 3)', whole)
  .option('--quick', 'few rounds and few tokens, to see that it runs; results are not kept')
  .option('--list', 'the rows, without measuring')
  .option('--json', 'print one JSON array')
  .addOption(
    new Option(
      '--target <target>',
      'measured in the place of native; results are not kept',
    ).choices(['wasm']),
  )
  .action(async (flags: CpuFlags) => {
    const wanted = flags.row?.find((p) => !rows.some((r) => r.name.startsWith(p)));
    if (wanted !== undefined) command.error(`no row ${wanted}; --list names them`);
    await benchCpu(flags);
  });
await command.parseAsync();

function whole(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError('expected 1 or more.');
  return n;
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

async function bench(args: readonly string[], options: Flags): Promise<void> {
  const wanted = args.length === 0 ? [...names] : args;
  const unknown = wanted.find((w) => !names.some((n) => n === w));
  if (unknown !== undefined)
    command.error(`no benchmark ${unknown}; there are ${names.join(', ')}`);

  const say = (text: string): void => {
    if (options.json !== true) process.stdout.write(`${text}\n`);
    else process.stderr.write(`${text}\n`);
  };
  const cache = here('../.cache');
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    node: process.version,
  };
  const results: Record<string, unknown> = { date: new Date().toISOString(), machine };
  say(`${machine.cpu}, ${machine.cores} cores, Node ${machine.node}`);

  if (wanted.includes('decode') || wanted.includes('bard')) {
    const meter = await openBandwidthMeter(cache);
    say(`read bandwidth of one core by ${meter.loops} loops, over a buffer of the weights' size`);
    if (wanted.includes('decode')) {
      const folder = await makeCheckpoint(llama150m, cache);
      const bundle = await compileInto(modelOf(configOf(llama150m)), folder, `${cache}/bundles`);
      const rounds = { rounds: options.rounds, tokens: 32 };
      const r = await benchDecode('llama-150m bf16', bundle, meter, rounds);
      results['decode'] = r;
      say(decodeText(r));
      say(`  ${(100 * r.share).toFixed(1)} % of the read bandwidth (reach: 50 %)`);
    }
    if (wanted.includes('bard')) {
      const weights = here('../examples/bard/weights');
      const bundle = await compileInto(bard, weights, `${cache}/bundles`);
      const r = await benchDecode('bard', bundle, meter, { rounds: options.rounds, tokens: 128 });
      results['bard'] = r;
      say(decodeText(r));
      say(`  ${r.overFloor.toFixed(2)} x the time that reading takes (reach: 3 x)`);
    }
  }
  if (wanted.includes('compile')) {
    const rounds = Math.min(options.rounds, 3);
    const all = [await benchCompile(16, rounds), await benchCompile(64, rounds)] as const;
    results['compile'] = all;
    for (const r of all) {
      say(
        `compile, ${r.layers} layers, ${(r.parameters / 1e9).toFixed(2)} billion parameters: ${r.seconds.toFixed(2)} s (reach: 5 s)`,
      );
    }
    say(`  64 to 16 layers: ${(all[1].seconds / all[0].seconds).toFixed(2)} x (reach: 1.5 x)`);
  }
  if (wanted.includes('check')) {
    const r = benchCheck(options.rounds);
    results['check'] = r;
    say(
      `check, DeepSeek-V3: ${r.warmMs.toFixed(1)} ms warm (reach: 150 ms), ${r.coldMs.toFixed(0)} ms the first time`,
    );
  }
  mkdirSync(here('results'), { recursive: true });
  for (const name of wanted) {
    const own = { date: results['date'], machine, [name]: results[name] };
    writeFileSync(here(`results/${name}.json`), `${JSON.stringify(own, null, 1)}\n`);
  }
  if (options.json === true) process.stdout.write(`${JSON.stringify(results, null, 1)}\n`);
}

function decodeText(r: DecodeResult): string {
  return (
    `${r.name}, wasm, 1 thread: ${r.tokensPerSecond.toFixed(1)} tokens per second, ` +
    `${(1000 / r.tokensPerSecond).toFixed(3)} ms each, ${r.gigabytesPerSecond.toFixed(1)} GB/s of weights; ` +
    `the core reads ${r.bandwidth.toFixed(1)} GB/s`
  );
}
