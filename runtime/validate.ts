/** `manifest.json` checked before anything is read or allocated by it. */
import { BundleError } from './errors.ts';
import {
  type GpuItem,
  type Manifest,
  type NativeProgram,
  type StepSizes,
  type WebGpuProgram,
  gridOps,
  gridScalars,
  manifestVersion,
  nativeIsas,
  nativeSystems,
} from './manifest.ts';

type Path = string;
type Check = (value: unknown, path: Path) => void;

const fail = (path: Path, expected: string): never => {
  throw new BundleError('bundle/manifest', `manifest.json: ${path}: expected ${expected}`);
};

const isRecord = (v: unknown): v is Readonly<Record<string, unknown>> =>
  typeof v === 'object' && v !== null && !Array.isArray(v);

const size: Check = (v, path) => {
  if (typeof v !== 'number' || !Number.isSafeInteger(v) || v < 0 || v > 2 ** 48)
    fail(path, 'a size');
};
const positive: Check = (v, path) => {
  size(v, path);
  if (v === 0) fail(path, 'a size of at least 1');
};
const amount: Check = (v, path) => {
  if (typeof v !== 'number' || !Number.isFinite(v) || v < 0) fail(path, 'a number');
};
const text: Check = (v, path) => {
  if (typeof v !== 'string') fail(path, 'a text');
};
const flag: Check = (v, path) => {
  if (typeof v !== 'boolean') fail(path, 'true or false');
};
const hash: Check = (v, path) => {
  if (typeof v !== 'string' || !/^[0-9a-f]{64}$/.test(v)) fail(path, 'a sha-256 in hexadecimal');
};
const oneOf =
  (names: readonly string[]): Check =>
  (v, path) => {
    if (typeof v !== 'string' || !names.includes(v)) fail(path, `one of ${names.join(', ')}`);
  };
const optional =
  (check: Check): Check =>
  (v, path) => {
    if (v !== undefined) check(v, path);
  };
const list =
  (check: Check): Check =>
  (v, path) => {
    if (!Array.isArray(v)) return fail(path, 'a list');
    v.forEach((x: unknown, i) => check(x, `${path}[${i}]`));
  };
const object =
  (fields: Readonly<Record<string, Check>>): Check =>
  (v, path) => {
    if (!isRecord(v)) return fail(path, 'an object');
    for (const [name, check] of Object.entries(fields)) {
      check(v[name], path === '' ? name : `${path}.${name}`);
    }
  };

/** A path stays in the bundle's folder: relative, forward slashes, no `..`, no scheme. */
export function checkPath(path: string): void {
  const parts = path.split('/');
  const good =
    path.length > 0 &&
    path.length < 512 &&
    /^[A-Za-z0-9_.\-/]+$/.test(path) &&
    parts.every((p) => p !== '' && p !== '.' && p !== '..');
  if (!good) {
    throw new BundleError(
      'bundle/path',
      `manifest.json names ${JSON.stringify(path.slice(0, 80))}, which is no path inside the bundle`,
    );
  }
}

const file: Check = (v, path) => {
  text(v, path);
  checkPath(String(v));
};

const stepSizes = {
  limits: object({ tokens: positive, rows: positive }),
  arenaBytes: size,
  scratchBytes: size,
  output: object({ offset: size, width: positive, rowBytes: positive }),
};
const schedules = optional(
  list(
    object({
      isa: optional(oneOf(nativeIsas)),
      shape: text,
      together: positive,
      ahead: size,
      streams: positive,
      staged: positive,
    }),
  ),
);
const wasmProgram = object({
  schedules,
  variants: list(object({ file, threads: flag, relaxed: flag, memory64: optional(flag) })),
  ...stepSizes,
});
const nativeProgram = object({
  schedules,
  variants: list(object({ file, os: oneOf(nativeSystems), isa: oneOf(nativeIsas) })),
  ...stepSizes,
});

/** Expressions and loops nest no deeper than a compiler makes them. */
const mostDeep = 16;
const gridSize =
  (deep: number): Check =>
  (v, path) => {
    if (typeof v === 'number') return size(v, path);
    if (typeof v === 'string') return oneOf(gridScalars)(v, path);
    if (!Array.isArray(v) || deep === mostDeep) return fail(path, 'a size of a grid');
    const [op, ...parts]: unknown[] = v;
    oneOf(['select', ...gridOps])(op, `${path}[0]`);
    if (parts.length !== (op === 'select' ? 3 : 2)) fail(path, 'a size of a grid');
    parts.forEach((part, i) => gridSize(deep + 1)(part, `${path}[${i + 1}]`));
  };
const gpuRange: Check = (v, path) => {
  object({ kind: oneOf(['arena', 'step', 'weights', 'state']) })(v, path);
  if (!isRecord(v)) return;
  if (v['kind'] === 'weights') object({ offset: size, bytes: positive, stride: size })(v, path);
  if (v['kind'] === 'state') object({ state: size })(v, path);
};
const numbers: Check = (v, path) => {
  if (!isRecord(v)) return fail(path, 'an object');
  for (const [name, value] of Object.entries(v)) size(value, `${path}.${name}`);
};
const gpuItem =
  (inLoop: boolean): Check =>
  (v, path) => {
    object({ kind: oneOf(inLoop ? ['launch'] : ['launch', 'loop']) })(v, path);
    if (isRecord(v) && v['kind'] === 'loop')
      return object({ count: positive, body: list(gpuItem(true)) })(v, path);
    object({ kernel: size, constants: numbers, ranges: list(gpuRange) })(v, path);
  };
const gpuKernel = object({
  entry: text,
  grid: list(gridSize(0)),
  bindings: list(object({ kind: oneOf(['arena', 'step', 'weights', 'state']), write: flag })),
  workgroup: positive,
  sharedBytes: size,
});
const webgpuProgram = object({
  variants: list(object({ file, dot4: flag })),
  kernels: list(gpuKernel),
  body: list(gpuItem(false)),
  ...stepSizes,
});

const manifest = object({
  name: text,
  compiler: text,
  model: object({
    vocab: positive,
    context: optional(positive),
    bos: optional(size),
    eos: list(size),
    parameters: size,
  }),
  weights: object({
    bytes: size,
    shards: list(object({ file, offset: size, bytes: positive })),
    parts: list(object({ name: text, dtype: text, shape: list(size), offset: size, bytes: size })),
  }),
  cache: object({
    block: positive,
    bytesPerSlot: size,
    states: list(
      object({ name: text, bytes: positive, offset: size, count: positive, stride: size }),
    ),
  }),
  programs: object({
    wasm: optional(wasmProgram),
    native: optional(nativeProgram),
    webgpu: optional(webgpuProgram),
  }),
  tokenizer: optional(
    object({
      file,
      config: optional(file),
      chatTemplate: optional(file),
      rules: optional(file),
      vocabulary: optional(file),
    }),
  ),
  cost: object({ flopsPerToken: amount, weightBytesPerToken: amount }),
});

/** The manifest in `json`. Throws BundleError that says what is wrong where. */
export function readManifest(json: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new BundleError('bundle/manifest', 'manifest.json is no JSON');
  }
  if (!isRecord(value) || value['format'] !== 'cograph-bundle') {
    throw new BundleError('bundle/manifest', 'manifest.json does not describe a Cograph bundle');
  }
  const { version } = value;
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 1)
    fail('version', 'a version');
  if (Number(version) > manifestVersion) {
    throw new BundleError(
      'bundle/version',
      `the bundle has version ${String(version)}, this runtime reads up to ${manifestVersion}: update cograph`,
    );
  }
  manifest(value, '');
  checkFiles(value['files']);
  const m = value as unknown as Manifest; // every field was just checked
  checkTogether(m);
  return m;
}

function checkFiles(files: unknown): void {
  if (!isRecord(files)) return fail('files', 'an object');
  for (const [name, entry] of Object.entries(files)) {
    checkPath(name);
    object({ bytes: size, sha256: hash })(entry, `files.${name}`);
  }
}

/** What single fields cannot say: shards follow each other, files are listed, outputs lie inside. */
function checkTogether(m: Manifest): void {
  const named = [
    ...m.weights.shards.map((s) => s.file),
    ...(m.programs.wasm?.variants.map((v) => v.file) ?? []),
    ...(m.programs.native?.variants.map((v) => v.file) ?? []),
    ...(m.programs.webgpu?.variants.map((v) => v.file) ?? []),
    ...filesOf(m.tokenizer ?? {}),
  ];
  if ((m.tokenizer?.rules === undefined) !== (m.tokenizer?.vocabulary === undefined))
    fail('tokenizer.vocabulary', 'one beside rules, and none without');
  for (const f of named)
    if (!Object.hasOwn(m.files, f)) fail(`files.${f}`, 'an entry for a file that is used');
  let end = 0;
  for (const s of m.weights.shards) {
    if (s.offset !== end) fail('weights.shards', 'pieces that follow each other');
    if (m.files[s.file]?.bytes !== s.bytes)
      fail(`files.${s.file}.bytes`, `${s.bytes}, the size of the shard`);
    end += s.bytes;
  }
  if (end !== m.weights.bytes) fail('weights.bytes', `${end}, the sum of the shards`);
  for (const p of m.weights.parts) {
    if (p.offset + p.bytes > m.weights.bytes) fail(`weights.parts.${p.name}`, 'a place inside');
  }
  for (const s of m.cache.states) {
    const last = s.offset + (s.count - 1) * s.stride + s.bytes;
    if (last > m.cache.bytesPerSlot) fail(`cache.states.${s.name}`, 'a place inside the slot');
  }
  const { wasm, native, webgpu } = m.programs;
  if (webgpu) checkGpu(m, webgpu);
  if (wasm) checkSizes('programs.wasm', wasm, m.model.vocab);
  if (!native) return;
  checkSizes('programs.native', native, m.model.vocab);
  checkVariants(native);
}

/** Launches are of kernels that there are, and bind what these take from what there is. */
function checkGpu(m: Manifest, p: WebGpuProgram): void {
  checkSizes('programs.webgpu', p, m.model.vocab);
  const visit = (items: readonly GpuItem[], count: number): void => {
    for (const item of items) {
      if (item.kind === 'loop') {
        visit(item.body, item.count);
        continue;
      }
      const kinds = p.kernels[item.kernel]?.bindings.map((b) => b.kind).join();
      if (kinds !== item.ranges.map((r) => r.kind).join())
        fail('programs.webgpu.body', 'launches that bind what their kernels take');
      for (const r of item.ranges) {
        const states = r.kind === 'state' ? m.cache.states[r.state]?.count : 1;
        if (states !== 1 && states !== count) fail('programs.webgpu.body', 'states that there are');
        if (r.kind !== 'weights') continue;
        if (
          r.offset + (count - 1) * r.stride + r.bytes > m.weights.bytes ||
          r.offset % 256 !== 0 ||
          r.stride % 256 !== 0
        )
          fail('programs.webgpu.body', 'weights that there are');
      }
    }
  };
  visit(p.body, 1);
}

const filesOf = (files: Readonly<Record<string, string | undefined>>): readonly string[] =>
  Object.values(files).filter((f) => f !== undefined);

function checkSizes(path: Path, p: StepSizes, vocab: number): void {
  if (p.output.width !== vocab) fail(`${path}.output.width`, `${vocab}, the vocabulary`);
  if (p.output.rowBytes < 4 * p.output.width) fail(`${path}.output.rowBytes`, 'room for a row');
  if (p.output.offset + p.limits.rows * p.output.rowBytes > p.arenaBytes)
    fail(`${path}.output`, 'a place inside the arena');
}

/** One variant for each operating system and instruction set: a second one would never be chosen. */
function checkVariants({ variants }: NativeProgram): void {
  const kinds = variants.map((v) => `${v.os}, ${v.isa}`);
  const twice = kinds.find((k, i) => kinds.indexOf(k) !== i);
  if (twice !== undefined) fail('programs.native.variants', `one variant for ${twice}`);
}
