/** Results as text, and kept in `bench/results/cpu.json` and `cpu.md`: rows measured at different times keep their own date. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Machine, Measured, RowResult, Spread } from './result.ts';
import { rows } from './rows.ts';

const digits = (x: number): string =>
  Math.abs(x) >= 100 ? x.toFixed(0) : Math.abs(x) >= 10 ? x.toFixed(1) : x.toFixed(3);
/** Perplexities differ late. */
const many = (x: number): string => x.toFixed(5);

const range = ({ median, min, max }: Spread, unit?: Measured['unit']): string => {
  const text = unit === 'perplexity' ? many : digits;
  return min === max ? text(median) : `${text(median)} (${text(min)}..${text(max)})`;
};

const percent = (x: number): string => `${(100 * x).toFixed(0)} %`;

/** More than this of the cores taken by others disturbs. */
export const quiet = 0.05;

export const disturbanceText = (share: number): string =>
  `others kept the cores ${percent(share)} busy just before: disturbed figures`;

/** What must hold, and whether it does. */
function verdict({ unit, ratio, reach, reachBandwidth, reached, share }: Measured): string {
  if (reach === undefined) return 'no reach';
  const lower = unit !== 'tok/s';
  const figure = ratio === undefined ? '' : `${lower ? '<=' : '>='} ${reach}x`;
  const least =
    reachBandwidth === undefined ? '' : `, >= ${percent(reachBandwidth)} of the bandwidth`;
  const mark = reached === true ? 'reached' : 'NOT REACHED';
  return `${figure || `<= ${reach} ${unit}`}${least}: ${mark}${share && least ? ` (${percent(share.median)})` : ''}`;
}

/** A row as lines of text. */
export function rowText(r: RowResult): string {
  const head = `${r.name}: ${r.title}`;
  const { measured: m } = r;
  if (!m) return `${head}\n  failed: ${r.error ?? 'unknown'}`;
  const lines = [head];
  for (const side of [m.ours, m.theirs]) {
    if (!side) continue;
    const gigabytes =
      side.gigabytesPerSecond === undefined ? '' : `, ${side.gigabytesPerSecond.toFixed(1)} GB/s`;
    lines.push(`  ${side.engine}: ${range(side.spread, m.unit)} ${m.unit}${gigabytes}`);
  }
  if (m.bandwidth && m.share) {
    lines.push(
      `  memory: ${range(m.bandwidth)} GB/s by ${m.bandwidth.threads} thread(s); ours is ${percent(m.share.median)} of it`,
    );
  }
  const ratio = m.ratio ? `${range(m.ratio, m.unit)}x; ` : '';
  lines.push(`  ${ratio}${verdict(m)}`);
  if (m.tried.length > 0)
    lines.push(`  tried: ${m.tried.map((t) => `${t.engine} ${digits(t.value)}`).join('; ')}`);
  lines.push(...m.notes.map((n) => `  ${n}`));
  if (r.disturbance > quiet) lines.push(`  ${disturbanceText(r.disturbance)}`);
  return lines.join('\n');
}

const machineText = (m: Machine): string =>
  `${m.cpu}, ${m.cores} cores (${m.features.join(', ')}), ${(m.memoryBytes / 2 ** 30).toFixed(0)} GiB, ${m.system}, Node ${m.node}`;

/** Puts the rows among those of earlier runs. */
export function keep(folder: string, fresh: readonly RowResult[]): void {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'cpu.json');
  const earlier = existsSync(path)
    ? (JSON.parse(readFileSync(path, 'utf8')) as { readonly rows: readonly RowResult[] }).rows
    : [];
  const all = new Map([...earlier, ...fresh].map((r) => [r.name, r]));
  const ordered = rows.map((row) => all.get(row.name)).filter((r) => r !== undefined);
  writeFileSync(path, `${JSON.stringify({ rows: ordered }, null, 1)}\n`);
  writeFileSync(join(folder, 'cpu.md'), markdown(ordered));
}

function markdown(all: readonly RowResult[]): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  const groups = new Map<string, RowResult[]>();
  for (const r of all) {
    const versions = Object.entries(r.versions).map(([k, v]) => `${k} ${v}`);
    const key = `${machineText(r.machine)}; ${versions.join(', ')}`;
    groups.set(key, [...(groups.get(key) ?? []), r]);
  }
  const parts = ['# Fast on the CPU: the last results of `npm run bench -- cpu`'];
  for (const [machine, rowsOf] of groups) {
    parts.push(machine);
    parts.push(
      [
        line(['row', 'ours', 'theirs', 'ratio', 'reach', 'GB/s of memory', 'measured']),
        line(Array<string>(7).fill('---')),
        ...rowsOf.map((r) => line(cells(r))),
      ].join('\n'),
    );
  }
  return `${parts.join('\n\n')}\n`;
}

function cells(r: RowResult): readonly string[] {
  const when = `${r.date.slice(0, 16).replace('T', ' ')}, ${r.commit}, ${r.rounds} rounds${r.disturbance > quiet ? `, others took ${percent(r.disturbance)} of the cores` : ''}`;
  const { measured: m } = r;
  if (!m) return [r.title, `failed: ${r.error ?? 'unknown'}`, '', '', '', '', when];
  const side = (s: Measured['ours'] | undefined): string =>
    s === undefined
      ? ''
      : `${range(s.spread, m.unit)} ${m.unit}, ${s.engine}${s.gigabytesPerSecond === undefined ? '' : `, ${s.gigabytesPerSecond.toFixed(1)} GB/s`}`;
  const memory =
    m.bandwidth && m.share ? `${range(m.bandwidth)}, ours ${percent(m.share.median)}` : '';
  return [r.title, side(m.ours), side(m.theirs), m.ratio ? `${range(m.ratio, m.unit)}x` : '', verdict(m), memory, when]; // prettier-ignore
}
