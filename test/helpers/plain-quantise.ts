/** Quantising written down plainly, element by element, with a name for each group. */
import { codeOf, largestOf, roundEven, valueOf } from '../../compiler/base/number-format.ts';
import type { Group, Level, QuantScheme } from '../../compiler/base/scheme.ts';
import type { MatrixSize } from '../../compiler/scalar/gather.ts';

const groupOf = (g: Group, n: number, k: number): string =>
  `${g.n > 0 ? Math.floor(n / g.n) : 0} ${g.k > 0 ? Math.floor(k / g.k) : 0}`;

/** The numbers of a level by the names of its groups. */
type Numbers = ReadonlyMap<string, number>;

/** What is left of x, and its codes; minima have the groups of the scales. */
export function plainQuantise(
  scheme: QuantScheme,
  x: Float64Array,
  size: MatrixSize,
): { readonly codes: number[]; readonly left: number[] } {
  const { zero, offset, codes: { format }, scales } = scheme; // prettier-ignore
  const inner = scales.at(-1)?.group ?? { n: 0, k: 0 };
  const highest = largestOf(format) + offset;
  const lowest =
    format.kind === 'uint'
      ? offset
      : format.kind === 'int'
        ? offset - 2 ** (format.bits - 1)
        : offset - largestOf(format);
  const places = Array.from({ length: x.length }, (_, i) => ({
    n: Math.floor(i / size.k),
    k: i % size.k,
    x: x[i] ?? 0,
  }));
  const members = new Map<string, number[]>();
  for (const p of places) {
    const name = groupOf(inner, p.n, p.k);
    members.set(name, [...(members.get(name) ?? []), p.x]);
  }
  const wanted = new Map<string, number>();
  const minima = new Map<string, number>();
  for (const [name, own] of members) {
    const bottom = Math.min(0, ...own);
    const largest = own.reduce((a, v) => (Math.abs(v) > Math.abs(a) ? v : a), 0);
    const power = (v: number): number => Math.floor(Math.log2(v));
    const found = {
      largest: Math.abs(largest) / highest,
      signed: largest / lowest,
      power: largest === 0 ? 0 : 2 ** (power(Math.abs(largest)) - power(highest)),
    };
    const ranged = (Math.max(0, ...own) - bottom) / (highest - lowest);
    wanted.set(name, zero.kind === 'none' ? found[scheme.fit] : ranged);
    minima.set(name, -bottom);
  }
  /** Each level as it is stored, from the outermost on, for what `left` wants in the end. */
  const stored = (levels: readonly Level[], want: Numbers): readonly Numbers[] => {
    let left = want;
    return levels.map((l, i) => {
      const keep = (v: number): number => valueOf(l.format, codeOf(l.format, v));
      const next = levels[i + 1];
      if (!next) return new Map([...left].map(([name, v]) => [name, keep(v)]));
      const most = new Map<string, number>();
      for (const { n, k } of places) {
        const [name, v] = [groupOf(l.group, n, k), Math.abs(left.get(groupOf(inner, n, k)) ?? 0)];
        most.set(name, Math.max(most.get(name) ?? 0, v));
      }
      const own = new Map([...most].map(([name, v]) => [name, keep(v / largestOf(next.format))]));
      const rest = new Map<string, number>();
      for (const { n, k } of places) {
        const by = own.get(groupOf(l.group, n, k)) ?? 0;
        const name = groupOf(inner, n, k);
        rest.set(name, by === 0 ? 0 : (left.get(name) ?? 0) / by);
      }
      left = rest;
      return own;
    });
  };
  const product = (levels: readonly Level[], numbers: readonly Numbers[], n: number, k: number) =>
    levels.reduce((p, l, i) => p * (numbers[i]?.get(groupOf(l.group, n, k)) ?? 0), 1);
  const scaleNumbers = stored(scales, wanted);
  const minimum = zero.kind === 'minimum' ? stored(zero.levels, minima) : [];
  const rounded = (real: number): number => {
    const whole = format.kind === 'uint' || format.kind === 'int';
    if (!whole || scheme.rounding === 'even') return codeOf(format, real);
    if (scheme.rounding === 'up') return codeOf(format, Math.floor(real + 0.5));
    return codeOf(format, Math.sign(real) * Math.floor(Math.abs(real) + 0.5));
  };
  const out = { codes: [] as number[], left: [] as number[] };
  for (const { n, k, x: v } of places) {
    const name = groupOf(inner, n, k);
    const scale = product(scales, scaleNumbers, n, k);
    const by = scheme.against === 'found' ? (wanted.get(name) ?? 0) : scale;
    const low = zero.kind === 'minimum' ? product(zero.levels, minimum, n, k) : 0;
    const shift =
      zero.kind === 'integer' && by !== 0 ? roundEven((minima.get(name) ?? 0) / by) + lowest : 0;
    const code = rounded(by === 0 ? 0 : (v + low) / by + shift - offset);
    out.codes.push(code);
    out.left.push(scale * (valueOf(format, code) + offset - shift) - low);
  }
  return out;
}
