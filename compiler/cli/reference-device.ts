/** The target `reference`: the graph interpreter behind the runtime's device contract. */
import { constantDim } from '../base/dim.ts';
import { TargetError } from '../base/failure.ts';
import { present } from '../base/invariant.ts';
import type { DType } from '../base/type.ts';
import { nameAt } from '../2-model/model.ts';
import type { BoundWeights } from '../2-model/bind-weights.ts';
import type { Graph, Node } from '../3-graph/graph.ts';
import { type WeightReader, interpret, makeStateStore } from '../3-graph/interpret.ts';
import { blockEntries } from '../5-kernel/state-rows.ts';
import type { Checkpoint } from '../8-bundle/checkpoint.ts';
import type { Files } from '../8-bundle/files.ts';
import { numbersOf, readTensor } from '../8-bundle/tensor.ts';
import type { NdArray } from '../ops/op.ts';
import { type Executor, type ExecutorLimits, type ExecutorOptions, emptyBatch } from '../../runtime/device.ts'; // prettier-ignore

/** Every weight as doubles. Throws TargetError where they need more memory than is sensible. */
export async function readWeights(
  bound: BoundWeights,
  checkpoint: Checkpoint,
  files: Files,
  onProgress?: (done: number, total: number) => void,
): Promise<WeightReader> {
  const arrays = new Map<string, Float64Array>();
  const all = [...bound.weights.values()].flatMap((w) => w.names.map((names) => ({ w, names })));
  const bytes = [...checkpoint.tensors.values()].reduce((n, t) => n + t.bytes, 0);
  if (bytes > 4 * 2 ** 30) {
    throw new TargetError(
      'target/size',
      `the reference target keeps weights as doubles; ${bytes} bytes of them are too many: use wasm`,
    );
  }
  for (const [done, { w, names }] of all.entries()) {
    const parts: Float64Array[] = [];
    for (const name of names) {
      const t = present(checkpoint.tensors.get(name), name);
      parts.push(numbersOf(await readTensor(files, name, t), t, w.from, w.dtype));
    }
    arrays.set(keyOf(w.dtype, names), joined(parts));
    onProgress?.(done + 1, all.length);
  }
  const named = new Map<string, Float64Array>();
  for (const [path, w] of bound.weights) {
    w.names.forEach((names, i) => {
      named.set(nameAt(path, i), present(arrays.get(keyOf(w.dtype, names))));
    });
  }
  return (name, _, type): NdArray => ({ shape: type.shape, data: present(named.get(name), name) });
}

/** One tensor may be several weights, stored differently. */
const keyOf = (dtype: DType, names: readonly string[]): string => [dtype, ...names].join('\n');

function joined(parts: readonly Float64Array[]): Float64Array {
  const [first] = parts;
  if (parts.length === 1 && first) return first;
  const out = new Float64Array(parts.reduce((n, p) => n + p.length, 0));
  parts.reduce((at, p) => (out.set(p, at), at + p.length), 0);
  return out;
}

interface StateRow {
  readonly name: string;
  readonly size: number;
}

/** Every state of the graph, one for each iteration of its loop. */
function statesOf(nodes: readonly Node[], count = 1): StateRow[] {
  return nodes.flatMap((n): StateRow[] => {
    if (n.kind === 'loop') return statesOf(n.body, n.count);
    if (n.kind !== 'op' || !n.state) return [];
    const { name, spec } = n.state;
    const size = spec.row.reduce((a, b) => a * b, 1);
    return Array.from({ length: count }, (_, i) => ({ name: nameAt(name, i), size }));
  });
}

const stepTokens = 512;

/** An executor that interprets `graph` in double precision; state included. */
export function openReference(
  graph: Graph,
  weights: WeightReader,
  options: ExecutorOptions,
): Executor {
  const block = blockEntries;
  const blocksPerSequence = Math.ceil(options.context / block);
  const shape = present(graph.types.get(present(graph.results[0]))).shape;
  const limits: ExecutorLimits = {
    tokens: stepTokens,
    rows: stepTokens,
    sequences: options.sequences,
    blocksPerSequence,
    blocks: Math.max(Math.ceil(options.capacity / block), blocksPerSequence),
    block,
    vocab: present(constantDim(present(shape[1]))),
  };
  const state = makeStateStore();
  const states = statesOf(graph.nodes);
  const batch = emptyBatch(limits);
  const slotNumbers = 1 + states.reduce((n, s) => n + s.size, 0);
  const blockBytes = 8 * block * slotNumbers;
  let result = new Float32Array(0);

  const readBlock = (b: number): Float64Array => {
    const out = new Float64Array(block * slotNumbers);
    for (let e = 0; e < block; e++) {
      const slot = b * block + e;
      let at = e * slotNumbers;
      out[at++] = state.positionOf(slot);
      for (const s of states) {
        out.set(state.row(s.name, slot, s.size), at);
        at += s.size;
      }
    }
    return out;
  };
  const writeBlock = (b: number, numbers: Float64Array): void => {
    for (let e = 0; e < block; e++) {
      const slot = b * block + e;
      let at = e * slotNumbers;
      state.setPosition(slot, numbers[at++] ?? 0);
      for (const s of states) {
        state.row(s.name, slot, s.size).set(numbers.subarray(at, at + s.size));
        at += s.size;
      }
    }
  };
  return {
    target: 'reference',
    threads: 1,
    limits,
    batch,
    step() {
      const t = batch.tokens;
      const step = {
        ids: batch.ids.slice(0, t),
        sequence: batch.sequence.slice(0, t),
        position: batch.position.slice(0, t),
        slot: batch.slot.slice(0, t),
        length: batch.length.slice(0, t),
        rows: batch.rows.slice(0, batch.wanted),
        table: batch.table,
        blocksPerSequence,
        block,
      };
      const [logits] = interpret(graph, weights, step, state);
      result = Float32Array.from(present(logits).data);
    },
    logits: (row) => result.subarray(row * limits.vocab, (row + 1) * limits.vocab),
    copyBlock: (from, to) => writeBlock(to, readBlock(from)),
    blockBytes,
    readBlock: (b) => new Uint8Array(readBlock(b).buffer),
    writeBlock: (b, bytes) => writeBlock(b, new Float64Array(new Uint8Array(bytes).buffer)),
    memoryBytes: blockBytes * limits.blocks,
    close: () => undefined,
  };
}
