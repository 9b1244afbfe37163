/** Rows that are no rates: time to the first token, memory, perplexity. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openFiles } from '../../runtime/files.ts';
import { tokenizerOf } from '../../runtime/open.ts';
import type { Manifest } from '../../runtime/manifest.ts';
import { figure, startProcess } from './engine.ts';
import { bundleOf, compiledRuntime } from './product.ts';
import { type Measured, type Side, spreadOf } from './result.ts';
import type { LoadRow, MemoryRow, PerplexityRow } from './rows.ts';
import { type Candidate, type Setting, candidatesOf } from './sides.ts';
import type { Effort } from './speed.ts';
import { root } from './tools.ts';

type Place = Omit<Setting, 'context'>;

const sideOf = (engine: string, values: readonly number[]): Side => ({
  engine,
  values,
  spread: spreadOf(values),
});

/** No small letters: one token a byte in every vocabulary here, 32 with the one that begins a text. */
const text = '0123456789 0123456789 012345678';

/** A fresh process each time; what is first read from disk is read before. */
export async function measureLoad(row: LoadRow, place: Place, effort: Effort): Promise<Measured> {
  const setting = { ...place, context: 1024 };
  const [ours] = await candidatesOf(row.ours, 'all', setting);
  if (ours === undefined) throw new Error('no candidate');
  const once = async (candidate: Candidate): Promise<number> => {
    const engine = await candidate.start();
    try {
      const answer = await engine.ask({ do: 'load', text });
      if (figure(answer, 'tokens') !== 32)
        throw new Error(
          `${candidate.name}: a prompt of ${String(answer['tokens'])} tokens, not 32`,
        );
      return figure(answer, 'seconds');
    } finally {
      await engine.close();
    }
  };
  const tried: { engine: string; value: number }[] = [];
  let theirs: Candidate | undefined;
  let least = Infinity;
  await once(ours);
  for (const candidate of await candidatesOf('llama.cpp', 'best', setting)) {
    await once(candidate);
    const value = await once(candidate);
    tried.push({ engine: candidate.name, value });
    if (value < least) [theirs, least] = [candidate, value];
  }
  if (theirs === undefined) throw new Error('no candidate');
  const a: number[] = [];
  const b: number[] = [];
  for (let r = 0; r < effort.rounds; r++) {
    a.push(await once(ours));
    b.push(await once(theirs));
    place.tools.note(
      `  ${r + 1}/${effort.rounds}: ${a[r]?.toFixed(3)} against ${b[r]?.toFixed(3)} s`,
    );
  }
  const ratio = spreadOf(a.map((x, r) => x / (b[r] ?? NaN)));
  return {
    unit: 's',
    ours: sideOf(ours.name, a),
    theirs: sideOf(theirs.name, b),
    ratio,
    reach: row.reach,
    reached: ratio.median <= row.reach,
    tried,
    notes: ['loading the library of llama.cpp (0.5 s) is not counted, koffi and our programs are'],
  };
}

/**
 * Resident bytes of the process, Node's own included, less the weights and the entries of the cache that
 * the prompt and the decoded tokens fill. Weights count in full: a dense model has read every one of them.
 */
export async function measureMemory(row: MemoryRow, place: Place): Promise<Measured> {
  const setting = { ...place, context: 1024 };
  const [ours] = await candidatesOf(row.ours, 'all', setting);
  const theirs = (await candidatesOf('llama.cpp', 'all', setting))[0];
  if (ours === undefined || theirs === undefined) throw new Error('no candidate');
  const bundle = await bundleOf(place.file.path, row.ours, place.tools);
  const manifest = await manifestOf(bundle);
  const request = { do: 'decode', prompt: 32, tokens: 64 };
  const held = manifest.cache.bytesPerSlot * (request.prompt + request.tokens);
  const notes: string[] = [];
  const rest = async (candidate: Candidate, path: string, known: number): Promise<number> => {
    const engine = await candidate.start();
    try {
      await engine.ask({ do: 'open' });
      await engine.ask(request);
      const m = await engine.ask({ do: 'memory', path });
      const mega = (key: string): string => (figure(m, key) / 1e6).toFixed(0);
      notes.push(
        `${candidate.name}: ${mega('rss')} MB resident, ${mega('anonymous')} anonymous, ` +
          `${mega('mappedWeights')} of mapped weights; ${(known / 1e6).toFixed(0)} MB are weights and KV`,
      );
      return (figure(m, 'rss') - known) / 1e6;
    } finally {
      await engine.close();
    }
  };
  const a = await rest(ours, bundle, manifest.weights.bytes + held);
  const b = await rest(theirs, place.file.path, place.file.weightBytesPerToken + held);
  return {
    unit: 'MB',
    ours: sideOf(ours.name, [a]),
    theirs: sideOf(theirs.name, [b]),
    reach: row.reach,
    reached: a <= row.reach,
    tried: [],
    notes,
  };
}

const manifestOf = async (bundle: string): Promise<Manifest> => (await openFiles(bundle)).manifest;

/** llama.cpp's cache has the type of ours, so that only the arithmetic differs. */
export async function measurePerplexity(
  row: PerplexityRow,
  place: Place,
  effort: Effort,
): Promise<Measured> {
  const { file, tools } = place;
  const bundle = await bundleOf(file.path, row.ours, tools);
  const files = await openFiles(bundle);
  const tokenizer = await tokenizerOf(files);
  if (!tokenizer) throw new Error('the bundle has no tokenizer');
  const all = tokenizer.encode(readFileSync(join(root, 'test/fixtures/valid.txt'), 'utf8'), {
    special: false,
  });
  const ids = join(tools.cache, 'ids.json');
  const used = effort.quick ? all.slice(0, 2049) : all;
  writeFileSync(ids, JSON.stringify(used));
  const kv = kvType(files.manifest);
  const common = { threads: 1, context: 512 };
  const runtime = compiledRuntime(tools.cache);
  const ask = async (
    name: string,
    script: string,
    options: Readonly<Record<string, unknown>>,
  ): Promise<number> => {
    const engine = startProcess(name, script, options, tools);
    try {
      await engine.ask({ do: 'open' });
      return figure(await engine.ask({ do: 'perplexity', ids, window: 256 }), 'perplexity');
    } finally {
      await engine.close();
    }
  };
  const ours = `Cograph ${row.ours}`;
  const theirs = `llama.cpp, ${kv} cache`;
  const a = await ask(ours, 'cograph.mjs', { runtime, path: bundle, target: row.ours, ...common });
  const b = await ask(theirs, 'llama-cpp.mjs', { path: file.path, kv, flash: false, ...common });
  const ratio = spreadOf([a / b]);
  return {
    unit: 'perplexity',
    ours: sideOf(ours, [a]),
    theirs: sideOf(theirs, [b]),
    ratio,
    reach: row.reach,
    reached: ratio.median <= row.reach,
    tried: [],
    notes: [`${used.length} tokens of test/fixtures/valid.txt in windows of 256`],
  };
}

/** The heads of `bard-qwen3` are 32 wide, and there are two of keys and two of values. */
function kvType({ cache }: Manifest): 'F32' | 'F16' {
  const bytes = cache.states[0]?.bytes;
  if (bytes === 4 * 64) return 'F32';
  if (bytes === 2 * 64) return 'F16';
  throw new Error(`a cache of ${String(bytes)} bytes an entry is neither f32 nor f16`);
}
