import { resolve } from 'node:path';
import {
  type BundleTarget,
  type Compiled,
  type Machines,
  compile,
  compileProgram,
  firstMachine,
  plainMachines,
  readTargets,
} from '../../compile.ts';
import type { CachedType } from '../../2-model/effects.ts';
import type { LlvmVariant } from '../../7-emit/llvm.ts';
import { readVariants } from '../../7-emit/native.ts';
import { costOf } from '../../3-graph/cost.ts';
import { UsageError } from '../errors.ts';
import { type Console, sizeText } from '../console.ts';
import { openNativeTools } from '../native-tools.ts';
import { nodeFiles } from '../node-files.ts';
import { withCache } from '../open.ts';
import {
  type StageName,
  isStage,
  printRewrite,
  printStage,
  printTemplates,
  stages,
} from '../stages.ts';
import { importSheets, openSubject } from '../subject.ts';
import { type TuneRequest, type TunedMachines, tuneMachines } from '../tune/machines.ts';
import { tellWarnings } from '../warnings.ts';
import { version } from '../version.ts';
import type { Context } from './context.ts';

export interface CompileFlags {
  /** Names with commas between them. */
  readonly target: string;
  /** What native code is built for: names with commas between them. */
  readonly variants?: string;
  readonly out?: string;
  readonly emit?: string;
  readonly trace?: boolean;
  readonly checkpoint?: string;
  readonly maxStep?: number;
  readonly kv?: CachedType;
  /** Measures schedules on this machine. */
  readonly tune?: boolean;
  /** Files with more sheets. */
  readonly sheet?: readonly string[];
}

/** `cograph compile`: a bundle in `--out`, or a stage printed with `--emit`. */
export async function compileCommand(
  place: string,
  flags: CompileFlags,
  { console, json, signal }: Context,
): Promise<unknown> {
  const { emit, out } = flags;
  if (emit !== undefined && !isStage(emit)) {
    throw new UsageError('usage/emit', `no stage ${emit}; there are ${stages.join(', ')}`);
  }
  if (emit === undefined && out === undefined) {
    throw new UsageError('usage/out', 'where to? give --out DIR for a bundle, or --emit STAGE');
  }
  const targets = readTargets(flags.target);
  const variants = flags.variants === undefined ? {} : { variants: namesIn(flags.variants) };
  const subject = await openSubject(place, flags);
  if (subject.kind === 'bundle') {
    throw new UsageError(
      'usage/bundle',
      `${place} is a bundle already: compile what it was made of`,
    );
  }
  const { checkpoint } = subject;
  const bound = withCache(subject.bound, flags.kv);
  const limits = flags.maxStep === undefined ? {} : { limits: { tokens: flags.maxStep } };
  const trace = flags.trace === true;
  const onRewrite = (...args: Parameters<typeof printRewrite>): void => {
    console.note(printRewrite(...args));
  };
  const sheets = (await Promise.all((flags.sheet ?? []).map(importSheets))).flat();
  const options = { ...limits, sheets, ...(trace ? { onRewrite } : {}) };
  const tuning = flags.tune === true;
  // What is missing is said before anything is compiled.
  const native =
    targets.includes('native') && (out !== undefined || tuning)
      ? await openNativeTools(signal)
      : undefined;
  const source = { compiler: version(), ...(native ? { native } : {}), ...variants };
  const tuned = tuning
    ? await tunedFor(
        compileProgram(bound, checkpoint, options),
        { targets, signal, ...source },
        console,
      )
    : undefined;
  const machines = tuned?.machines ?? plainMachines;
  const told = tuned ? { tuned: { cache: tuned.cache, shapes: tuned.tuned } } : {};
  if (emit !== undefined) {
    const machine = firstMachine(targets, machines);
    const program = () => compileProgram(bound, checkpoint, { ...options, machine });
    const text = textOf(emit, program, bound.template, targets, machines);
    if (!json) console.out(text);
    if (out === undefined) return { stage: emit, text, ...told };
  }
  const folder = resolve(out ?? '');
  const began = performance.now();
  const bar = console.progress(`compiling into ${out}`);
  const compiled = await compile(bound, checkpoint, source, nodeFiles, folder, {
    target: targets,
    ...options,
    machines,
    signal,
    onStep: bar.step,
    onProgress: bar.update,
  });
  const { memory } = compiled.program;
  const cost = costOf(compiled.graph, { tokens: 1, rows: 1, keys: 1 });
  bar.end(
    `compiled ${compiled.model.name} into ${out}: ${sizeText(memory.weightBytes)} of weights, ` +
      `${sizeText(cost.weightBytes)} read and ${(cost.flops / 1e6).toFixed(1)} MFLOP done per token, ` +
      `${memory.stateBytesPerSlot} bytes of KV per token, ${Math.round(performance.now() - began)} ms`,
  );
  const unused = compiled.weights?.unused ?? [];
  if (unused.length > 0) {
    console.note(`note: the model uses none of ${unused.length} tensors: ${some(unused)}`);
  }
  return {
    model: compiled.model.name,
    out: folder,
    target: targets.join(','),
    weightBytes: memory.weightBytes,
    weightBytesPerToken: cost.weightBytes,
    flopsPerToken: cost.flops,
    kvBytesPerToken: memory.stateBytesPerSlot,
    unusedTensors: unused,
    ...told,
    warnings: tellWarnings(compiled.warnings, console),
  };
}

/** Machines with the schedules that this machine runs best. */
async function tunedFor(
  { plan, program }: Compiled,
  request: Pick<TuneRequest, 'targets' | 'signal' | 'compiler' | 'native' | 'variants'>,
  console: Console,
): Promise<TunedMachines> {
  const bar = console.progress('tuning');
  const began = performance.now();
  const found = await tuneMachines({
    ...request,
    plan,
    most: program.limits.tokens,
    onStep: bar.step,
    onProgress: bar.update,
    onNote: console.note,
  });
  const measured = found.tuned.filter((t) => !t.cached && t.measured.length > 0).length;
  const known = found.tuned.filter((t) => t.cached).length;
  const changed = Object.values(found.machines).flatMap((m) => [...(m.schedules?.keys() ?? [])]);
  bar.end(
    `tuned ${found.tuned.length} shapes of products: ${measured} measured, ${known} known from ` +
      `${found.cache}; ${changed.length} with other schedules, ${Math.round(performance.now() - began)} ms`,
  );
  return found;
}

const namesIn = (list: string): readonly LlvmVariant[] =>
  readVariants(list.split(',').map((n) => n.trim()));

function textOf(
  stage: StageName,
  program: () => ReturnType<typeof compileProgram>,
  template: Parameters<typeof printTemplates>[0],
  targets: readonly BundleTarget[],
  machines: Machines,
): string {
  // Mistakes in templates are found by compiling: the tree alone would hide them.
  const compiled = program();
  return stage === 'ast'
    ? printTemplates(template)
    : printStage(stage, compiled, targets, machines);
}

const some = (names: readonly string[]): string =>
  names.length <= 4
    ? names.join(', ')
    : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`;
