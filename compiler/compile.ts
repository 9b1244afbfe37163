/**
 * The pipeline, from a bound model to a bundle. Everything outside comes in as an argument, so that it
 * runs wherever JavaScript does; nothing of the model's weights is held longer than needed.
 */
import { DiagnosticsError, TargetError } from './base/failure.ts';
import { type Diagnostic, type Log, makeLog } from './base/diagnostic.ts';
import { invariant, present } from './base/invariant.ts';
import { renderAll } from './base/render.ts';
import type { QuantScheme } from './base/scheme.ts';
import type { DType, TensorType } from './base/type.ts';
import type { SheetSource } from './1-syntax/template.ts';
import type { BoundModel } from './bound.ts';
import { type BoundWeights, bindWeights, storageMarks } from './2-model/bind-weights.ts';
import { checkModel } from './2-model/check.ts';
import { type NumbersTest, type Schemes, cachedType, effectsOf, numericsOf, reportEffects } from './2-model/effects.ts'; // prettier-ignore
import { type Model, nameAt } from './2-model/model.ts';
import { type ResolvedSheets, resolveSheets } from './2-model/sheets.ts';
import { weightsOf } from './2-model/weights.ts';
import type { Graph, Node, ValueId } from './3-graph/graph.ts';
import { type StoredAs, lowerModel } from './3-graph/lower.ts';
import { checkPolicyFacts } from './3-graph/policy-facts.ts';
import { simplify } from './3-graph/simplify.ts';
import { verifyGraph } from './3-graph/verify.ts';
import { opOf } from './ops/index.ts';
import { partition } from './4-partition/partition.ts';
import type { Plan } from './4-partition/plan.ts';
import { verifyPlan } from './4-partition/verify.ts';
import { activationRefusal, cacheRefusal } from './5-kernel/activation.ts';
import { type Machine, type SimdMachine, armMachine, simtMachine, wasmMachine, x86Machine } from './5-kernel/machine.ts'; // prettier-ignore
import { planRefusal, weightRefusal } from './5-kernel/refusals.ts';
import { scheduleIn } from './5-kernel/schedule.ts';
import { buildProgram } from './6-program/build.ts';
import type { Limits, Program } from './6-program/program.ts';
import { verifyProgram } from './6-program/verify.ts';
import { type TunedSchedule, nativeIsas } from '../runtime/manifest.ts';
import { nativeVariants } from './7-emit/native.ts';
import { type BundlePrograms, type BundleSource, writeBundle } from './8-bundle/bundle.ts';
import type { Checkpoint } from './8-bundle/checkpoint.ts';
import type { Files } from './8-bundle/files.ts';

/** What kernels are made for, by target and instruction set. */
export type Machines = Readonly<Record<'wasm' | (typeof nativeIsas)[number], SimdMachine>>;

export const plainMachines: Machines = {
  wasm: wasmMachine,
  avx512: x86Machine,
  avx2: x86Machine,
  arm64: armMachine,
};

export interface CompileOptions {
  /** Targets of the bundle: names, or one text with commas between them. */
  readonly target: string | readonly string[];
  /** Largest step; rows default to what 16 MiB of logits allow, at most `tokens`. */
  readonly limits?: Partial<Limits>;
  /** Behind the model's own. */
  readonly sheets?: readonly SheetSource[];
  /** Machines with schedules that were found for them; the plain ones unless given. */
  readonly machines?: Machines;
  /** Told of each graph rewrite that fired. */
  readonly onRewrite?: (rule: string, before: Graph, after: Graph) => void;
  /** Told what is begun, in words. */
  readonly onStep?: (what: string) => void;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** What a bundle can hold a program for. */
export const bundleTargets = ['wasm', 'native', 'webgpu'] as const;
export type BundleTarget = (typeof bundleTargets)[number];

/** Each once. Throws TargetError for a name that is no target, and where there is none. */
export function readTargets(target: CompileOptions['target']): readonly BundleTarget[] {
  const names = typeof target === 'string' ? target.split(',').map((t) => t.trim()) : target;
  const wrong = names.find((n) => !bundleTargets.some((t) => t === n));
  if (wrong !== undefined || names.length === 0) {
    throw new TargetError(
      'target/unknown',
      `no target ${wrong ?? 'at all'} to compile for; there are ${bundleTargets.join(', ')}`,
    );
  }
  return bundleTargets.filter((t) => names.includes(t));
}

/** A model's meaning: the simplified graph, and where its weights are. */
export interface Meaning {
  readonly model: Model;
  /** What sheets say of every part, and by which rule. */
  readonly sheets: ResolvedSheets;
  readonly graph: Graph;
  readonly weights: BoundWeights | undefined;
  /** Schemes that weights are kept in, by path in the model: a sheet's, else the checkpoint's. */
  readonly kept: ReadonlyMap<string, QuantScheme>;
  /** What is no mistake and yet hardly meant. */
  readonly warnings: readonly Diagnostic[];
}

/** Compiled, without weights. */
export interface Compiled extends Meaning {
  readonly plan: Plan;
  /** What the program's kernels were made for. */
  readonly machine: Machine;
  readonly program: Program;
}

/**
 * The checked model, its weights typed by its sheets, and what these say of every part; layers that
 * the checkpoint keeps otherwise than their neighbours are told apart. Throws DiagnosticsError with
 * every mistake found in the model; those of sheets are in `log`.
 */
function resolveModel(
  bound: BoundModel,
  more: readonly SheetSource[],
  tensors: Checkpoint['tensors'] | undefined,
  log: Log,
): Pick<Meaning, 'model' | 'sheets'> & { readonly schemes: Schemes } {
  const all = [...bound.sheets, ...more];
  const plain = checkModel(bound, log);
  if (!plain) throw failureOf(log);
  const storage = tensors ? storageMarks(plain, tensors) : undefined;
  if (all.length === 0 && !storage?.size) {
    return { model: plain, sheets: [], schemes: effectsOf([], bound.kv) };
  }
  const sheets = resolveSheets(plain, all, log);
  checkPolicyFacts(plain, sheets, log);
  const effects = effectsOf(sheets, bound.kv);
  // A block taken as a model is elaborated in the whole, by its paths there.
  const numerics = numericsOf(effects, bound.root?.path, storage);
  if (numerics.marks.size === 0) return { model: plain, sheets, schemes: effects };
  const model = checkModel(bound, log, undefined, numerics);
  if (!model) throw failureOf(log);
  return { model, sheets, schemes: effects };
}

/**
 * What the sheets of a model say of every part, whether a target computes so or not, and where its
 * weights are. Throws DiagnosticsError.
 */
export function readSheets(
  bound: BoundModel,
  more: readonly SheetSource[] = [],
  checkpoint?: Pick<Checkpoint, 'tensors'>,
): Pick<Meaning, 'model' | 'sheets' | 'weights' | 'kept' | 'warnings'> {
  const log = makeLog();
  const { model, sheets, schemes } = resolveModel(bound, more, checkpoint?.tensors, log);
  if (log.failed) throw failureOf(log);
  const weights = checkpoint ? bindWeights(model, checkpoint.tensors, log) : undefined;
  if (log.failed) throw failureOf(log);
  const kept = keptIn(model, schemes, weights);
  return { model, sheets, weights, kept, warnings: log.diagnostics() };
}

/** A scheme of a sheet takes the numbers, whatever they were kept in. */
function keptIn(
  model: Model,
  schemes: Schemes,
  weights: BoundWeights | undefined,
): Meaning['kept'] {
  const kept = new Map<string, QuantScheme>();
  for (const { weight } of weightsOf(model.body)) {
    const said = schemes.weights.get(nameAt(weight.path, 0));
    const scheme = said ?? weights?.weights.get(weight.path)?.scheme;
    if (scheme) kept.set(weight.path, scheme);
  }
  return kept;
}

/**
 * Model to graph; without a checkpoint every weight counts as f32. The target `reference` computes
 * with any numbers that sheets set, others with those that they have kernels for. Throws DiagnosticsError with every
 * mistake found.
 */
export function compileGraph(
  bound: BoundModel,
  checkpoint: Pick<Checkpoint, 'tensors'> | undefined,
  options: Pick<CompileOptions, 'onRewrite' | 'sheets'> &
    Partial<Pick<CompileOptions, 'target'>> = {},
): Meaning {
  const log = makeLog();
  const { model, sheets, schemes } = resolveModel(
    bound,
    options.sheets ?? [],
    checkpoint?.tensors,
    log,
  );
  if (log.failed) throw failureOf(log);
  reportEffects(sheets, options.target === 'reference' ? () => true : hasKernel, log);
  const weights = checkpoint ? bindWeights(model, checkpoint.tensors, log) : undefined;
  if (log.failed) throw failureOf(log);
  const dtypeOf = (path: string): DType => weights?.weights.get(path)?.dtype ?? 'f32';
  // A scheme of a sheet takes the numbers, whatever they were kept in.
  const storedAs = (path: string): StoredAs | undefined => {
    const scheme = weights?.weights.get(path)?.scheme;
    if (!scheme || schemes.weights.has(nameAt(path, 0))) return undefined;
    return { scheme, ...(bound.activations ? { activations: bound.activations } : {}) };
  };
  const graph = simplify(lowerModel(model, dtypeOf, schemes, storedAs), options.onRewrite);
  mustHold('graph', verifyGraph(graph));
  const kept = keptIn(model, schemes, weights);
  return { model, sheets, graph, weights, kept, warnings: log.diagnostics() };
}

/** Model to program. Throws DiagnosticsError with every mistake found. */
export function compileProgram(
  bound: BoundModel,
  checkpoint: Checkpoint | undefined,
  options: Pick<CompileOptions, 'onRewrite' | 'limits' | 'sheets'> & {
    readonly machine?: Machine;
  } = {},
): Compiled {
  const meaning = compileGraph(bound, checkpoint, options);
  if (meaning.model.inputs.some((i) => i.from === 'caller')) {
    throw new TargetError(
      'target/inputs',
      `${meaning.model.name} is a block on its own: the reference interpreter runs it, a bundle maps token ids to logits`,
    );
  }
  const op = interpretedIn(meaning.graph.nodes, meaning.graph.types);
  if (op !== undefined) {
    throw new TargetError(
      'target/op',
      `no target but reference computes ${op}: --target reference`,
    );
  }
  const plan = partition(meaning.graph);
  mustHold('plan', verifyPlan(plan));
  const refusal = planRefusal(plan);
  if (refusal !== undefined) {
    throw new TargetError('target/no-kernel', `${refusal}; --target reference computes it`);
  }
  const limits = limitsFor(vocabOf(meaning.model), options.limits);
  const machine = options.machine ?? wasmMachine;
  return { ...meaning, plan, machine, program: checkedProgram(plan, limits, machine) };
}

function checkedProgram(plan: Plan, limits: Limits, machine: Machine): Program {
  const program = buildProgram(plan, limits, machine);
  mustHold('program', verifyProgram(program));
  return program;
}

/** The machine of the first of the targets, on x86-64 where that leaves a choice. */
export function firstMachine(
  [first]: readonly BundleTarget[],
  machines: Machines = plainMachines,
): Machine {
  if (first === 'webgpu') return simtMachine;
  return first === 'native' ? machines.avx512 : machines.wasm;
}

/** The program for a machine: the one that was compiled, or another one of the same plan. */
export const programOf = ({ plan, program, machine }: Compiled, other: Machine): Program =>
  other === machine ? program : checkedProgram(plan, program.limits, other);

/** Whether kernels compute with what a sheet says of numbers. */
const hasKernel: NumbersTest = (property, value) => {
  if (value.kind === 'type') {
    const stored = property === 'precision.weights' || value.type === 'f32';
    return stored || (property === 'precision.kv' && cachedType(value) !== undefined);
  }
  if (value.kind !== 'scheme') return false;
  if (property === 'precision.weights') return weightRefusal(value) === undefined;
  if (property === 'precision.kv') return cacheRefusal(value) === undefined;
  return property === 'precision.activations' && activationRefusal(value) === undefined;
};

/** An op that only the interpreter has. */
function interpretedIn(nodes: readonly Node[], types: Graph['types']): string | undefined {
  for (const n of nodes) {
    if (n.kind === 'loop') {
      const inside = interpretedIn(n.body, types);
      if (inside !== undefined) return inside;
    }
    if (n.kind !== 'op') continue;
    const typeOf = (v: ValueId): TensorType => present(types.get(v));
    const lowered = opOf(n.op).lower(n.inputs.map(typeOf), n.results.map(typeOf), n.attrs);
    if (lowered.kind === 'interpreted') return n.op;
  }
  return undefined;
}

const mustHold = (stage: string, faults: readonly string[]): void =>
  invariant(faults.length === 0, () => `${stage}: ${faults.join('; ')}`);

/** Compiles into the folder `out`, which is replaced as a whole once everything is written. */
export async function compile(
  bound: BoundModel,
  checkpoint: Checkpoint,
  source: BundleSource,
  files: Files,
  out: string,
  options: CompileOptions,
): Promise<Compiled> {
  const targets = readTargets(options.target);
  if (targets.includes('native') && !source.native) {
    throw new TargetError(
      'target/tools',
      'native code is made with tools of LLVM 14, which the caller did not bring',
    );
  }
  const variants = targets.includes('native') ? (source.variants ?? nativeVariants) : [];
  if (targets.includes('native') && variants.length === 0) {
    throw new TargetError(
      'target/variant',
      'native code is asked for, but for none of the machines that there is any for',
    );
  }
  // The processors that native code is made for, and none else.
  const isas = nativeIsas.filter((isa) => variants.some((v) => v.isa === isa));
  const machines = options.machines ?? plainMachines;
  const wanted = [
    ...(targets.includes('wasm') ? [machines.wasm] : []),
    ...isas.map((isa) => machines[isa]),
    ...(targets.includes('webgpu') ? [simtMachine] : []),
  ];
  const compiled = compileProgram(bound, checkpoint, {
    ...options,
    machine: present(wanted[0], 'a target'),
  });
  // Instruction sets of one machine share a program.
  const made = new Map(
    [...new Set(isas.map((isa) => machines[isa]))].map((m) => [m, programOf(compiled, m)]),
  );
  const native = isas.map((isa) => [isa, present(made.get(machines[isa]))] as const);
  const programs: BundlePrograms = {
    ...(targets.includes('wasm') ? { wasm: programOf(compiled, machines.wasm) } : {}),
    ...(native.length > 0 ? { native: Object.fromEntries(native) } : {}),
    ...(targets.includes('webgpu') ? { webgpu: programOf(compiled, simtMachine) } : {}),
  };
  await writeBundle(programs, present(compiled.weights), checkpoint, files, out, {
    ...source,
    ...(bound.context === undefined ? {} : { context: bound.context }),
    ...(bound.bos === undefined ? {} : { bos: bound.bos }),
    eos: bound.eos ?? [],
    vocab: vocabOf(compiled.model),
    graph: compiled.graph,
    schedules: {
      wasm: schedulesOf(machines.wasm),
      native: isas.flatMap((isa) => schedulesOf(machines[isa]).map((t) => ({ isa, ...t }))),
    },
    ...(options.onStep ? { onStep: options.onStep } : {}),
    ...(options.onProgress ? { onProgress: options.onProgress } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
  });
  return compiled;
}

/** A machine's schedules that are not its own, for the manifest. */
const schedulesOf = ({ schedules = new Map() }: SimdMachine): readonly TunedSchedule[] =>
  [...schedules].map(([shape, schedule]) => ({ shape, ...scheduleIn(schedule) }));

/** Entries of the vocabulary: the width of the model's result. */
export function vocabOf(model: Model): number {
  const last = model.results[0]?.types[0]?.shape.at(-1);
  invariant(typeof last === 'number', 'a model returns [t, vocab]');
  return last;
}

export function limitsFor(vocab: number, given: Partial<Limits> = {}): Limits {
  const tokens = given.tokens ?? 512;
  const fit = Math.floor((16 * 2 ** 20) / (4 * vocab));
  return { tokens, rows: given.rows ?? Math.min(tokens, Math.max(8, fit)) };
}

const failureOf = (log: Log): DiagnosticsError =>
  new DiagnosticsError(log.diagnostics(), renderAll(log.diagnostics()));
