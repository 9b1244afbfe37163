/** Every stage of a compile as text, for `--emit` and `--trace`. */
import { makeLog } from '../base/diagnostic.ts';
import { present, unreachable } from '../base/invariant.ts';
import { parse } from '../1-syntax/parse.ts';
import { printAst } from '../1-syntax/print.ts';
import { type Hole, type Template, isTemplate } from '../1-syntax/template.ts';
import { printModel } from '../2-model/print.ts';
import type { Graph } from '../3-graph/graph.ts';
import { printGraph } from '../3-graph/print.ts';
import { printPlan } from '../4-partition/print.ts';
import { printKernel } from '../5-kernel/print.ts';
import { printProgram } from '../6-program/print.ts';
import { emitLlvm } from '../7-emit/llvm.ts';
import { nativeVariants } from '../7-emit/native.ts';
import { emitWasm } from '../7-emit/wasm.ts';
import { bindProgram } from '../7-emit/wgsl-bindings.ts';
import { emitWgsl } from '../7-emit/wgsl.ts';
import {
  type BundleTarget,
  type Compiled,
  type Machines,
  firstMachine,
  plainMachines,
  programOf,
} from '../compile.ts';

export const stages = ['ast', 'model', 'graph', 'plan', 'kernel', 'program', 'code'] as const;
export type StageName = (typeof stages)[number];

export const isStage = (name: string): name is StageName => stages.some((s) => s === name);

/** All templates that a model uses, each after those in its holes. */
function templatesOf(t: Template, seen = new Set<Template>()): readonly Template[] {
  if (seen.has(t)) return [];
  seen.add(t);
  const inHole = (h: Hole): readonly Template[] => {
    if (isTemplate(h)) return templatesOf(h, seen);
    return Array.isArray(h) ? h.flatMap((x: Hole) => inHole(x)) : [];
  };
  return [...t.holes.flatMap(inHole), t];
}

/** The syntax trees of a model and of the blocks in it; templates with mistakes are left out. */
export const printTemplates = (template: Template): string =>
  templatesOf(template)
    .flatMap((t) => parse(t, makeLog()) ?? [])
    .map((ast) => printAst(ast))
    .join('\n');

export function printStage(
  stage: Exclude<StageName, 'ast'>,
  compiled: Compiled,
  targets: readonly BundleTarget[],
  machines: Machines = plainMachines,
): string {
  const { model, graph, plan, program } = compiled;
  switch (stage) {
    case 'model':
      return printModel(model);
    case 'graph':
      return printGraph(graph);
    case 'plan':
      return printPlan(plan);
    case 'kernel':
      return program.kernels.map(printKernel).join('\n');
    case 'program':
      return printProgram(program);
    case 'code':
      return targets.map((t) => printCode(t, compiled, machines)).join('\n');
    default:
      return unreachable(stage);
  }
}

/** The first variant of a target's code. */
function printCode(target: BundleTarget, compiled: Compiled, machines: Machines): string {
  const program = programOf(compiled, firstMachine([target], machines));
  switch (target) {
    case 'wasm':
      return emitWasm(program, { threads: true, relaxed: true, memory64: false });
    case 'native':
      return emitLlvm(program, present(nativeVariants[0]));
    case 'webgpu':
      return emitWgsl(program.name, bindProgram(program), { dot4: true });
    default:
      return unreachable(target);
  }
}

/** A rewrite as its name and the lines that it took away and put in. */
export function printRewrite(rule: string, before: Graph, after: Graph): string {
  const [old, now] = [before, after].map((g) => printGraph(g).split('\n'));
  const [had, has] = [new Set(old), new Set(now)];
  const gone = (old ?? []).filter((l) => !has.has(l)).map((l) => `- ${l.trim()}`);
  const added = (now ?? []).filter((l) => !had.has(l)).map((l) => `+ ${l.trim()}`);
  return [`rewrite ${rule}`, ...gone, ...added].join('\n');
}
