/** The files that all engines of a row read: random weights in real shapes, and one small trained model. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ggmlTypes } from '../../stdlib/index.ts';
import { writeGguf } from '../../test/helpers/gguf.ts';
import { ggufOfFolder } from '../../test/helpers/gguf-of-folder.ts';
import { type GgufShape, blockNames, ggufShapes, ggufTensors, makeGguf } from '../gguf-random.ts';
import { type Tools, root } from './tools.ts';

export interface ModelFile {
  /** Of the random ones. */
  readonly shape?: GgufShape;
  readonly type: string;
  readonly path: string;
  /** Bytes of the file's tensors that one token needs: of experts those that it uses; the head is the embedding. */
  readonly weightBytesPerToken: number;
  /** Multiplications with the weights of layers, for each token; with those of the head, for each row of logits. */
  readonly layerMacs: number;
  readonly headMacs: number;
}

/** A shape of `ggufShapes` and a type of its matrices, or `bard` and one. */
export type ModelName = `${string} ${string}`;

export async function modelFile(name: ModelName, tools: Tools): Promise<ModelFile> {
  const [shapeName = '', type = ''] = name.split(' ');
  const cache = join(tools.cache, '../gguf');
  if (shapeName === 'bard') return bardFile(type, cache);
  const shape = ggufShapes.find((s) => s.name === shapeName);
  const block = blockNames.find((b) => b === type);
  if (shape === undefined || block === undefined) throw new Error(`no model ${name}`);
  tools.note(`random weights: ${name}`);
  const path = await makeGguf(shape, block, cache);
  const { experts } = shape;
  const share = (tensor: string): number =>
    experts !== undefined && tensor.includes('_exps') ? experts.used / experts.count : 1;
  return { ...sizesOf(path, ggufTensors(shape, block), share), type: block, shape };
}

function sizesOf(
  path: string,
  tensors: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly byteLength: number;
  }[],
  share: (name: string) => number,
): Omit<ModelFile, 'type'> {
  let [bytes, layers, head] = [0, 0, 0];
  for (const t of tensors) {
    bytes += t.byteLength * share(t.name);
    const macs = t.shape.length > 1 ? t.shape.reduce((x, y) => x * y, 1) * share(t.name) : 0;
    if (t.name.startsWith('blk.')) layers += macs;
    else head += macs;
  }
  return { path, weightBytesPerToken: bytes, layerMacs: layers, headMacs: head };
}

/** Lies beside the sources, not among them. */
export const bardFolder = join(root, '../shared/models/bard-qwen3');

/** `bard-qwen3` with its tokenizer as the GGUF that llama.cpp's converter makes of it. */
async function bardFile(type: string, cache: string): Promise<ModelFile> {
  if (!existsSync(bardFolder)) throw new Error(`${bardFolder} is not there: no trained model`);
  const id = [...ggmlTypes].find(([, t]) => t.name === type)?.[0];
  if (id === undefined) throw new Error(`no GGUF type ${type}`);
  const { metadata, tensors } = await ggufOfFolder(bardFolder, id);
  const path = join(cache, `bard-qwen3-${type}.gguf`);
  const bytes = writeGguf({ metadata: { ...metadata, ...bardTokenizer() }, tensors });
  if (!existsSync(path) || !readFileSync(path).equals(bytes)) {
    writeFileSync(`${path}.partial`, bytes);
    renameSync(`${path}.partial`, path);
  }
  const entries = tensors.map((t) => ({ ...t, byteLength: t.bytes.byteLength }));
  return { ...sizesOf(path, entries, () => 1), type };
}

interface TokenizerJson {
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (readonly [string, string])[];
  };
  readonly added_tokens: readonly { readonly id: number }[];
}

function bardTokenizer(): Parameters<typeof writeGguf>[0]['metadata'] {
  const text = readFileSync(join(bardFolder, 'tokenizer.json'), 'utf8');
  const { model, added_tokens: added } = JSON.parse(text) as TokenizerJson;
  const vocab = Object.entries(model.vocab).sort((a, b) => a[1] - b[1]);
  const control = new Set(added.map((t) => t.id));
  return {
    'tokenizer.ggml.model': { text: 'gpt2' },
    'tokenizer.ggml.pre': { text: 'gpt-2' },
    'tokenizer.ggml.tokens': { texts: vocab.map(([token]) => token) },
    'tokenizer.ggml.token_type': { i32s: vocab.map(([, id]) => (control.has(id) ? 3 : 1)) },
    'tokenizer.ggml.merges': { texts: model.merges.map((m) => m.join(' ')) },
    'tokenizer.ggml.add_bos_token': { bool: true },
  };
}
