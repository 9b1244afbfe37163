/** Numbers that groups of a matrix's elements share. */
import type { Group } from '../base/scheme.ts';
import type { MatrixSize } from './gather.ts';

/** A number for each group of elements. */
export interface Spread {
  readonly group: Group;
  /** Groups along k, those of the first rows first. */
  readonly columns: number;
  readonly values: Float64Array;
}

/** All 0. */
export function spreadOf({ n, k }: Group, size: MatrixSize): Spread {
  const group = { n: Math.max(1, n || size.n), k: Math.max(1, k || size.k) };
  const columns = Math.ceil(size.k / group.k);
  const values = new Float64Array(Math.ceil(size.n / group.n) * columns);
  return { group, columns, values };
}

const firstOf = ({ group, columns }: Spread, n: number): number => Math.floor(n / group.n) * columns; // prettier-ignore
export const at = (s: Spread, n: number, k: number): number => s.values[firstOf(s, n) + Math.floor(k / s.group.k)] ?? 0; // prettier-ignore

/** Multiplies the numbers of a row's elements by those of their groups. */
function timesRow(into: Float64Array, by: Spread, n: number): void {
  const first = firstOf(by, n);
  for (let c = 0; c < by.columns; c++) {
    const value = by.values[first + c] ?? 0;
    const end = Math.min((c + 1) * by.group.k, into.length);
    for (let k = c * by.group.k; k < end; k++) into[k] = (into[k] ?? 0) * value;
  }
}

/** Products of levels for the elements of row n. */
export function productRow(into: Float64Array, levels: readonly Spread[], n: number): Float64Array {
  into.fill(1);
  for (const level of levels) timesRow(into, level, n);
  return into;
}

/** Visits the pairs of groups, by their places, that have an element in common. */
export function eachPair(
  a: Spread,
  b: Spread,
  size: MatrixSize,
  visit: (inA: number, inB: number) => void,
): void {
  for (let n = 0; n < size.n; n++) {
    if (n % a.group.n !== 0 && n % b.group.n !== 0) continue;
    const [fromA, fromB] = [firstOf(a, n), firstOf(b, n)];
    for (let k = 0; k < size.k;) {
      const [inA, inB] = [Math.floor(k / a.group.k), Math.floor(k / b.group.k)];
      visit(fromA + inA, fromB + inB);
      k = Math.min((inA + 1) * a.group.k, (inB + 1) * b.group.k);
    }
  }
}

/** What the groups of a level hold. */
export interface Ranges {
  /** 0 or less, 0 or more. */
  readonly least: Spread;
  readonly most: Spread;
  /** The element of the largest magnitude, the first of equal ones. */
  readonly signed: Spread;
}

export function rangesOf(group: Group, x: Float64Array, size: MatrixSize): Ranges {
  const [least, most, signed] = [spreadOf(group, size), spreadOf(group, size), spreadOf(group, size)]; // prettier-ignore
  for (let n = 0; n < size.n; n++) {
    const first = firstOf(least, n);
    for (let c = 0; c < least.columns; c++) {
      const g = first + c;
      let low = least.values[g] ?? 0;
      let high = most.values[g] ?? 0;
      let largest = signed.values[g] ?? 0;
      const end = n * size.k + Math.min((c + 1) * least.group.k, size.k);
      for (let i = n * size.k + c * least.group.k; i < end; i++) {
        const v = x[i] ?? 0;
        low = Math.min(low, v);
        high = Math.max(high, v);
        if (Math.abs(v) > Math.abs(largest)) largest = v;
      }
      least.values[g] = low;
      most.values[g] = high;
      signed.values[g] = largest;
    }
  }
  return { least, most, signed };
}
