import { constantDim } from '../../base/dim.ts';
import { present } from '../../base/invariant.ts';
import { bytesOf } from '../../base/type.ts';
import { weightsOf } from '../../2-model/weights.ts';
import { nameAt } from '../../2-model/model.ts';
import type { BoundWeights } from '../../2-model/bind-weights.ts';
import type { Model } from '../../2-model/model.ts';
import { costOf } from '../../3-graph/cost.ts';
import { keptBits } from '../../3-graph/kept.ts';
import { type Lookahead, lookaheads } from '../../3-graph/lookahead.ts';
import { type Meaning, compileProgram, readSheets } from '../../compile.ts';
import { openFiles } from '../../../runtime/files.ts';
import type { Manifest } from '../../../runtime/manifest.ts';
import { sizeText } from '../console.ts';
import { lookaheadLines } from '../lookahead-text.ts';
import { importSheets, openReadable, openSubject } from '../subject.ts';
import { tellWarnings } from '../warnings.ts';
import type { Context, RunFlags } from './context.ts';
import { sheetRows, sheetText } from './inspect-sheets.ts';

interface SheetFlags {
  /** True without a file. */
  readonly sheet?: string | true;
}

interface PartRow {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly parameters: number;
  readonly bytes: number;
}

interface Report {
  readonly name: string;
  readonly parts: readonly PartRow[];
  readonly parameters: number;
  readonly bytes: number;
  readonly weightBytesPerToken: number;
  readonly flopsPerToken: number;
  readonly kvBytesPerToken: number;
  readonly vocab: number;
  readonly context?: number;
  /** What lies between choosing experts and using them, layer by layer; absent without experts. */
  readonly lookahead?: readonly Lookahead[];
}

/** `cograph inspect`: parts, shapes, parameters, bytes, KV bytes per token. */
export async function inspectCommand(
  place: string,
  flags: Pick<RunFlags, 'checkpoint'> & SheetFlags,
  { console, json }: Context,
): Promise<unknown> {
  if (flags.sheet !== undefined) return inspectSheets(place, flags, flags.sheet, { console, json });
  const subject = await openSubject(place, flags);
  const report =
    subject.kind === 'bundle'
      ? ofBundle((await openFiles(subject.place)).manifest)
      : ofModel(subject.bound, subject.checkpoint);
  if (!json) console.out(`${textOf(report)}\n`);
  return report;
}

/** Every property that a sheet gives a part, and the rule that it came from; without weights. */
async function inspectSheets(
  place: string,
  flags: Pick<RunFlags, 'checkpoint'>,
  flag: string | true,
  { console, json }: Pick<Context, 'console' | 'json'>,
): Promise<unknown> {
  const { bound } = await openReadable(place, flags);
  const more = flag === true ? [] : await importSheets(flag);
  const { model, sheets, warnings } = readSheets(bound, more);
  const rows = sheetRows(sheets, model.name);
  if (!json) console.out(`${sheetText(rows)}\n`);
  return { name: model.name, sheet: rows, warnings: tellWarnings(warnings, console) };
}

function ofBundle(m: Manifest): Report {
  return {
    name: m.name,
    parts: m.weights.parts.map((p) => ({ ...p, parameters: p.shape.reduce((a, b) => a * b, 1) })),
    parameters: m.model.parameters,
    bytes: m.weights.bytes,
    weightBytesPerToken: m.cost.weightBytesPerToken,
    flopsPerToken: m.cost.flopsPerToken,
    kvBytesPerToken: m.cache.bytesPerSlot,
    vocab: m.model.vocab,
    ...(m.model.context === undefined ? {} : { context: m.model.context }),
  };
}

function ofModel(...[bound, checkpoint]: Parameters<typeof compileProgram>): Report {
  const { model, weights, kept, graph, program } = compileProgram(bound, checkpoint);
  const parts = partsOf(model, present(weights), kept);
  const dtypeOf = (path: string) => present(weights).weights.get(path)?.dtype ?? 'f32';
  const schemeOf = (path: string) => kept.get(path);
  const ahead = lookaheads(model, { keys: bound.context ?? 1, dtypeOf, schemeOf });
  const cost = costOf(graph, { tokens: 1, rows: 1, keys: 1 });
  const sum = (of: (p: PartRow) => number): number => parts.reduce((n, p) => n + of(p), 0);
  return {
    name: model.name,
    parts,
    parameters: sum((p) => p.parameters),
    bytes: sum((p) => p.bytes),
    weightBytesPerToken: cost.weightBytes,
    flopsPerToken: cost.flops,
    kvBytesPerToken: program.memory.stateBytesPerSlot,
    vocab: present(constantDim(present(model.results[0]?.types[0]?.shape[1]))),
    ...(bound.context === undefined ? {} : { context: bound.context }),
    ...(ahead.length === 0 ? {} : { lookahead: ahead }),
  };
}

/** Every weight as a bundle stores it, layers one by one. */
function partsOf(model: Model, bound: BoundWeights, kept: Meaning['kept']): PartRow[] {
  const rows = new Map<string, PartRow>();
  for (const { weight, count } of weightsOf(model.body)) {
    const stored = present(bound.weights.get(weight.path)).dtype;
    const scheme = kept.get(weight.path);
    const shape = weight.type.shape.map((d) => present(constantDim(d)));
    const parameters = shape.reduce((a, b) => a * b, 1);
    const dtype = scheme?.name ?? stored;
    const bytes = parameters * (scheme ? keptBits(scheme, shape) / 8 : bytesOf[stored]);
    for (let i = 0; i < count; i++) {
      const name = nameAt(weight.path, i);
      rows.set(name, { name, shape, dtype, parameters, bytes });
    }
  }
  return [...rows.values()].sort((a, b) => collate.compare(a.name, b.name));
}

const collate = new Intl.Collator('en', { numeric: true });

function textOf(r: Report): string {
  const rows = r.parts.map((p) => [
    p.name,
    `${p.dtype}[${p.shape.join(', ')}]`,
    p.parameters.toLocaleString('en'),
    sizeText(p.bytes),
  ]);
  const table = [['part', 'shape', 'parameters', 'bytes'], ...rows];
  const widths = [0, 1, 2, 3].map((c) => Math.max(...table.map((row) => row[c]?.length ?? 0)));
  const lines = table.map((row) =>
    row
      .map((cell, c) => (c < 2 ? cell.padEnd(widths[c] ?? 0) : cell.padStart(widths[c] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  return [
    `${r.name}: ${r.parameters.toLocaleString('en')} parameters, ${sizeText(r.bytes)}`,
    `vocabulary ${r.vocab}${r.context === undefined ? '' : `, context ${r.context}`}`,
    `per decoded token: ${sizeText(r.weightBytesPerToken)} of weights read, ${(r.flopsPerToken / 1e6).toFixed(1)} MFLOP, ${r.kvBytesPerToken} bytes of KV added`,
    ...lookaheadLines(r.lookahead ?? []),
    '',
    ...lines,
  ].join('\n');
}
