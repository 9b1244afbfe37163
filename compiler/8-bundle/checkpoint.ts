/** A checkpoint folder as Hugging Face writes it: one safetensors file or several with an index. */
import { CheckpointError } from '../base/failure.ts';
import { type Files, joinFile, readAll } from './files.ts';
import { type TensorEntry, readSafetensors } from './safetensors.ts';

export interface Checkpoint {
  readonly folder: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** The tokenizer's files by name, where they are none in the folder. */
  readonly texts?: ReadonlyMap<string, string>;
}

/** A file of the tokenizer; undefined if there is none. */
export async function readCompanion(
  files: Files,
  { folder, texts }: Pick<Checkpoint, 'folder' | 'texts'>,
  name: string,
): Promise<Uint8Array | undefined> {
  if (!texts) return readAll(files, joinFile(folder, name));
  const text = texts.get(name);
  return text === undefined ? undefined : new TextEncoder().encode(text);
}

/** `adapters` as in `withAdapters`. Throws whatever reading a file throws. */
export async function readCheckpoint(
  files: Files,
  folder: string,
  adapters: readonly string[] = [],
): Promise<Checkpoint> {
  const tensors = await readTensors(files, folder);
  return withAdapters(files, { folder, tensors }, adapters);
}

/**
 * The checkpoint with the tensors of `adapters`, folders as PEFT writes them, added. Throws
 * CheckpointError where one has the name of another, and whatever reading a file throws.
 */
export async function withAdapters(
  files: Files,
  checkpoint: Checkpoint,
  adapters: readonly string[],
): Promise<Checkpoint> {
  if (adapters.length === 0) return checkpoint;
  const tensors = new Map(checkpoint.tensors);
  for (const adapter of adapters) {
    const file = joinFile(adapter, 'adapter_model.safetensors');
    for (const [name, t] of await readSafetensors(files, file)) {
      if (tensors.has(name)) {
        throw new CheckpointError(
          'checkpoint/adapter',
          `${file} has ${name}, which another file has too`,
        );
      }
      tensors.set(name, t);
    }
  }
  return { ...checkpoint, tensors };
}

async function readTensors(files: Files, folder: string): Promise<Checkpoint['tensors']> {
  const index = await readAll(files, joinFile(folder, 'model.safetensors.index.json'));
  if (!index) {
    return readSafetensors(files, joinFile(folder, 'model.safetensors'));
  }
  const tensors = new Map<string, TensorEntry>();
  const wanted = readIndex(folder, index);
  for (const file of new Set(wanted.values())) {
    for (const [name, t] of await readSafetensors(files, joinFile(folder, file))) {
      if (wanted.get(name) === file) tensors.set(name, t);
    }
  }
  for (const [name, file] of wanted) {
    if (!tensors.has(name)) {
      throw new CheckpointError(
        'checkpoint/index',
        `the index says that ${file} holds ${name}; it does not`,
      );
    }
  }
  return tensors;
}

function readIndex(folder: string, bytes: Uint8Array): ReadonlyMap<string, string> {
  const bad = (what: string): never => {
    throw new CheckpointError(
      'checkpoint/index',
      `${folder}: model.safetensors.index.json ${what}`,
    );
  };
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return bad('is no JSON');
  }
  const map =
    typeof json === 'object' && json !== null && 'weight_map' in json ? json.weight_map : undefined;
  if (typeof map !== 'object' || map === null) return bad('has no weight_map');
  return new Map(
    Object.entries(map).map(([name, file]: [string, unknown]) => {
      if (typeof file !== 'string' || !/^[A-Za-z0-9_.-]+\.safetensors$/.test(file)) {
        return bad(`names a file that is none: ${String(file).slice(0, 60)}`);
      }
      return [name, file];
    }),
  );
}
