/** What a step moves: a layer of Qwen3-0.6B in Q4_0 by the counts of the interpreter of workgroups. */
import { expect, test } from 'vitest';
import { simtMachine } from '../compiler/5-kernel/machine.ts';
import { makeRaceLog } from '../compiler/5-kernel/races.ts';
import { blockEntries } from '../compiler/5-kernel/state-rows.ts';
import { type LaunchCounts, makeCounts } from '../compiler/5-kernel/simt/counts.ts';
import { interpretProgram } from '../compiler/6-program/interpret.ts';
import { compileProgram } from '../compiler/compile.ts';
import { precision } from '../compiler/index.ts';
import { modelOf, q4_0 } from '../stdlib/index.ts';

/** The vocabulary is smaller: its matrix is read as those of layers are. */
const bound = modelOf({
  model_type: 'qwen3',
  vocab_size: 1024,
  hidden_size: 1024,
  intermediate_size: 3072,
  num_hidden_layers: 1,
  num_attention_heads: 16,
  num_key_value_heads: 8,
  head_dim: 128,
  rms_norm_eps: 1e-6,
  rope_theta: 1e6,
  tie_word_embeddings: true,
  max_position_embeddings: 4096,
  bos_token_id: 0,
  eos_token_id: 1,
});
const sheets = [precision`:linear { weights: ${q4_0} } :embedding { weights: ${q4_0} }`];
const { program } = compileProgram(bound, undefined, {
  limits: { tokens: 1, rows: 1 },
  machine: simtMachine,
  sheets,
});

const keys = 127;

/** Counts of a step of one token that sees the keys; weights are zeros. */
function counted(): readonly LaunchCounts[] {
  const { arenaBytes, weightBytes, stateBytesPerSlot } = program.memory;
  const blocks = Math.ceil((keys + 1) / blockEntries);
  const slots = blocks * blockEntries;
  const align = (n: number): number => Math.ceil(n / 64) * 64;
  const fields = ['ids', 'sequence', 'position', 'slot', 'length', 'rows', 'table', 'keys'];
  const bytes = align(4 * slots);
  const arena = fields.length * bytes;
  const state = align(arena + arenaBytes);
  const weights = align(state + stateBytesPerSlot * slots);
  const memory = new DataView(new ArrayBuffer(weights + weightBytes));
  const step = new Map(fields.map((f, i) => [f, { address: i * bytes, bytes }]));
  const put = (field: string, i: number, v: number): void =>
    memory.setInt32((step.get(field)?.address ?? 0) + 4 * i, v, true);
  put('position', 0, keys);
  put('slot', 0, keys);
  put('length', 0, keys + 1);
  for (let b = 0; b < blocks; b++) put('table', b, b);
  for (let i = 0; i <= keys; i++) put('keys', i, i);
  const counts = makeCounts(memory.byteLength);
  const places = { memory, arena, weights, state, step, slots };
  const sizes = { t: 1, r: 1, blocks, threads: 1 };
  interpretProgram(program, places, sizes, makeRaceLog(weights), counts);
  return counts.launches;
}

const total = (all: readonly LaunchCounts[], what: (c: LaunchCounts) => number): number =>
  all.reduce((sum, c) => sum + what(c), 0);

const decode = counted();

test('bytes of a token, against weights and cache read once', () => {
  const { weightBytes, stateBytesPerSlot } = program.memory;
  const unavoidable = weightBytes + stateBytesPerSlot * (keys + 1);
  const moved = total(decode, (c) => c.read + c.written);
  expect(moved / unavoidable).toBeLessThan(1.1);
  expect(moved / unavoidable).toBeGreaterThan(0.95);
});

test('loads of 16 bytes side by side', () => {
  const wide = total(decode, (c) => c.coalesced);
  expect(wide / total(decode, (c) => c.loaded - c.uniform)).toBeGreaterThan(0.95);
});

test('idle lanes and turns of shared memory', () => {
  expect(1 - total(decode, (c) => c.busy) / total(decode, (c) => c.slots)).toBeLessThan(0.05);
  const turns = total(decode, (c) => c.sharedTurns) / total(decode, (c) => c.sharedAccesses);
  expect(turns).toBeLessThan(2);
});
