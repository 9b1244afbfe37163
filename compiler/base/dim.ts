/**
 * Symbolic dimensions in normal form: a sum of integer multiples of products of symbols, such as
 * `2*heads*head + 1`. Two dimensions are equal exactly when their normal forms are.
 *
 * A plain number is a dimension too, so that concrete shapes read `[192, 96]`.
 */
export type Dim = number | SymbolicDim;

export interface SymbolicDim {
  /** Sorted by `factors.join('*')`; no zero coefficients; at least one term with a factor. */
  readonly terms: readonly DimTerm[];
}

export interface DimTerm {
  readonly coefficient: number;
  /** Symbols of the product, sorted, repeated for powers; empty for the constant term. */
  readonly factors: readonly string[];
}

const termsOf = (d: Dim): readonly DimTerm[] =>
  typeof d === 'number' ? (d === 0 ? [] : [{ coefficient: d, factors: [] }]) : d.terms;

const keyOf = (t: DimTerm): string => t.factors.join('*');

function normal(terms: readonly DimTerm[]): Dim {
  const sums = new Map<string, DimTerm>();
  for (const t of terms) {
    const key = keyOf(t);
    const had = sums.get(key);
    sums.set(key, {
      factors: t.factors,
      coefficient: (had?.coefficient ?? 0) + t.coefficient,
    });
  }
  const kept = [...sums.values()].filter((t) => t.coefficient !== 0);
  kept.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  if (kept.length === 0) return 0;
  const [only] = kept;
  if (kept.length === 1 && only && only.factors.length === 0) return only.coefficient;
  if (kept.length > mostTerms || kept.some((t) => t.factors.length > mostTerms)) {
    return symbol(`(${showDim({ terms: kept })})`);
  }
  return { terms: kept };
}

/** Terms, and factors of one: beyond it a polynomial is known by its text alone. */
const mostTerms = 24;
const mostName = 120;

/** The dimension named `name`, such as `t`, the tokens of a step. */
export const symbol = (name: string): Dim => ({
  terms: [{ coefficient: 1, factors: [name.length > mostName ? shortName(name) : name] }],
});

/** Equal texts have equal short names: a beginning, and the FNV-1a hash of the whole. */
function shortName(name: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return `${name.slice(0, mostName / 2)}… #${(hash >>> 0).toString(16)}`;
}

export const addDim = (a: Dim, b: Dim): Dim => normal([...termsOf(a), ...termsOf(b)]);

export const mulDim = (a: Dim, b: Dim): Dim =>
  normal(
    termsOf(a).flatMap((x) =>
      termsOf(b).map((y) => ({
        coefficient: x.coefficient * y.coefficient,
        factors: cancelled([...x.factors, ...y.factors]),
      })),
    ),
  );

export const negDim = (a: Dim): Dim => mulDim(-1, a);
export const subDim = (a: Dim, b: Dim): Dim => addDim(a, negDim(b));
export const productDim = (dims: readonly Dim[]): Dim => dims.reduce(mulDim, 1);

/** a / b where that is exact for every value of the symbols and b is one term; else undefined. */
export function divDim(a: Dim, b: Dim): Dim | undefined {
  const divisor = termsOf(b);
  const [by] = divisor;
  if (divisor.length !== 1 || !by) return undefined;
  const out: DimTerm[] = [];
  for (const t of termsOf(a)) {
    const factors = [...t.factors];
    for (const f of by.factors) {
      const at = factors.indexOf(f);
      if (at < 0) return undefined;
      factors.splice(at, 1);
    }
    const coefficient = t.coefficient / by.coefficient;
    if (!Number.isInteger(coefficient)) return undefined;
    out.push({ coefficient, factors });
  }
  return normal(out);
}

/**
 * a / b as a dimension: sizes are whole numbers of at least 1, which a size that is a quotient is
 * checked to be once its symbols have values, so that `b * (a / b)` is `a`.
 */
export function quotientDim(a: Dim, b: Dim): Dim {
  const [by, ...more] = termsOf(b);
  const exact = divDim(a, b);
  if (exact !== undefined) return exact;
  if (!by || more.length > 0 || by.coefficient !== 1) {
    return symbol(`(${showDim(a)}) / (${showDim(b)})`);
  }
  return mulDim(a, normal([{ coefficient: 1, factors: by.factors.map(inverseOf) }]));
}

/** Symbols of a product may be divided by: `1/heads` is the inverse of `heads`. */
const inverseOf = (factor: string): string =>
  factor.startsWith('1/') ? factor.slice(2) : `1/${factor}`;

/** Without the factors that stand beside their inverses. */
function cancelled(factors: readonly string[]): readonly string[] {
  const out: string[] = [];
  for (const f of factors) {
    const at = out.indexOf(inverseOf(f));
    if (at < 0) out.push(f);
    else out.splice(at, 1);
  }
  return out.sort();
}

export function sameDim(a: Dim, b: Dim): boolean {
  if (typeof a === 'number' || typeof b === 'number') return a === b;
  return showDim(a) === showDim(b);
}

export const sameShape = (a: readonly Dim[], b: readonly Dim[]): boolean =>
  a.length === b.length && a.every((d, i) => sameDim(d, b[i] ?? -1));

/** The number a dimension is, or undefined while a symbol is open. */
export const constantDim = (d: Dim): number | undefined => (typeof d === 'number' ? d : undefined);

export function showDim(d: Dim): string {
  if (typeof d === 'number') return String(d);
  return d.terms
    .map((t, i) => {
      const product = productText(t.factors);
      const size = Math.abs(t.coefficient);
      const text =
        t.factors.length === 0 ? String(size) : size === 1 ? product : `${size} * ${product}`;
      if (i === 0) return t.coefficient < 0 ? `-${text}` : text;
      return t.coefficient < 0 ? ` - ${text}` : ` + ${text}`;
    })
    .join('');
}

/** `a * b / c`; a product that only divides begins with 1. */
function productText(factors: readonly string[]): string {
  const over = factors.filter((f) => !f.startsWith('1/'));
  const under = factors.filter((f) => f.startsWith('1/')).map(inverseOf);
  if (under.length === 0) return over.join(' * ');
  return [over.join(' * ') || '1', ...under].join(' / ');
}

export const showShape = (shape: readonly Dim[]): string => `[${shape.map(showDim).join(', ')}]`;
