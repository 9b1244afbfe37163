/**
 * How a workgroup shares a product with matrices among its threads: pure sizes.
 *
 * Thread n works on row n % 16 of a band, in phase n / 16 of W / 16. k is cut into chunks, chunks into
 * pieces; the phases take the pieces of a chunk by turns. A chunk's sum is that of its phases in order,
 * and a row's that of its chunks: an order that k, the schemes that share an operand and W decide.
 */
import { invariant, present } from '../../base/invariant.ts';
import type { ValueId } from '../../3-graph/graph.ts';
import type { Contraction, Group, NodeFacts, Plan, PlannedWeight } from '../../4-partition/plan.ts';
import { quantisedFrom } from '../activation.ts';
import { gcd, partOf, sumsFor } from '../block-codes.ts';
import { type BlockGeometry, blockGeometry } from '../blocks.ts';
import { bandRows, perStep, tileGeometry } from '../layout.ts';
import type { SumWanted } from '../staging.ts';

/** Threads of a workgroup: eight or so of them fit a core of a GPU at a time, whatever they share. */
export const productThreads = 64;
export const phases = productThreads / bandRows;
/** GPUs multiply signed bytes. */
export const bytes = { bytes: 's8s8' } as const;

/** Tokens that share a pass over a matrix, at most. */
const mostTokens = 8;
/** Bytes of a chunk's operand, for that many tokens, and of its weights: half of what there is. */
const chunkBytes = 8192;

/** A matrix as the words of its bands, one block after the other along k. */
export interface Stream {
  readonly weight: PlannedWeight;
  /** Of matrices kept in a scheme. */
  readonly geometry: BlockGeometry | undefined;
  /** Words before a band's blocks: levels of whole rows. */
  readonly headWords: number;
  /** Elements of k in a block, its words, and blocks of a band. */
  readonly block: number;
  readonly blockWords: number;
  readonly blocks: number;
  /** Elements of k that a thread multiplies at a time, and those below one scale, for operands in codes. */
  readonly piece: number;
  readonly part: number;
  readonly bandWords: number;
  readonly unitWords: number;
  readonly matrixWords: number;
}

export interface Anchor {
  readonly facts: NodeFacts;
  readonly contraction: Contraction;
  readonly stream: Stream;
}

/** Anchors of a group that read the same operand, which is laid out once for all of them. */
export interface Shared {
  readonly x: ValueId;
  readonly contraction: Contraction;
  readonly anchors: readonly Anchor[];
  /** Of operands in codes: elements that share a scale (0: the row), and sums that are wanted. */
  readonly codes: { readonly group: number; readonly sums: readonly SumWanted[] } | undefined;
  readonly chunk: number;
  readonly chunks: number;
}

/** Tokens that are computed together, and chunks of k that are laid out at a time. */
export interface Form {
  readonly tokens: number;
  readonly chunks: number;
}

const commonMultiple = (a: number, b: number): number => (a / gcd(a, b)) * b;

export const operandOf = (a: NodeFacts): ValueId =>
  present(a.node.inputs[present(a.contraction).x], 'operand of a product');

export function sharedOperands(plan: Plan, group: Group): readonly Shared[] {
  const xs = [...new Set(group.anchors.map(operandOf))];
  return xs.map((x) => {
    const quantised = quantisedFrom(plan, x)?.activation.group;
    const facts = group.anchors.filter((a) => operandOf(a) === x);
    const anchors = facts.map((a): Anchor => {
      const contraction = present(a.contraction);
      return { facts: a, contraction, stream: streamOf(plan, a, quantised, group.unit) };
    });
    const { contraction } = present(anchors[0]);
    const sums = anchors.flatMap(({ stream: { weight, geometry } }) =>
      quantised !== undefined && geometry && weight.layout.kind === 'blocks'
        ? sumsFor(weight.layout.scheme, geometry, quantised, bytes)
        : [],
    );
    const different = [...new Map(sums.map((s) => [`${s.part} ${s.factor}`, s])).values()];
    const codes = quantised === undefined ? undefined : { group: quantised, sums: different };
    const chunk = chunkOf(anchors, contraction.k, codes);
    const elements = Math.max(...anchors.map(({ stream: s }) => s.blocks * s.block));
    return { x, contraction, anchors, codes, chunk, chunks: Math.ceil(elements / chunk) };
  });
}

function streamOf(plan: Plan, a: NodeFacts, group: number | undefined, unit: number): Stream {
  const c = present(a.contraction);
  const weight = present(plan.weights.get(present(a.node.inputs[c.weight])), 'weight');
  const { layout } = weight;
  invariant(
    (layout.kind === 'tiles' || layout.kind === 'blocks') && layout.unit === unit,
    () => `${weight.name} has two layouts`,
  );
  if (layout.kind === 'tiles') {
    invariant(group === undefined, 'matrices of floats take floats');
    const per = perStep(weight.dtype);
    const g = tileGeometry(c.n, c.k, weight.dtype, unit);
    const piece = [8, 4].find((p) => (g.steps * per) % p === 0) ?? per;
    return {
      weight,
      geometry: undefined,
      headWords: 0,
      block: piece,
      blockWords: (piece / per) * bandRows,
      blocks: (g.steps * per) / piece,
      piece,
      part: piece,
      bandWords: g.steps * bandRows,
      unitWords: g.unitBytes / 4,
      matrixWords: g.matrixBytes / 4,
    };
  }
  const g = blockGeometry(c.n, c.k, layout.scheme, unit);
  const part = partOf(layout.scheme, g, group ?? 0);
  return {
    weight,
    geometry: g,
    headWords: g.headBytes / 4,
    block: g.block,
    blockWords: g.blockBytes / 4,
    blocks: g.blocks,
    piece: Math.max(part, ...g.planes.map((p) => p.perWord)),
    part,
    bandWords: g.bandBytes / 4,
    unitWords: g.unitBytes / 4,
    matrixWords: g.matrixBytes / 4,
  };
}

/** Elements of k in a chunk: whole blocks, groups of the operand, and a piece for each phase. */
function chunkOf(anchors: readonly Anchor[], k: number, codes: Shared['codes']): number {
  const multiples = anchors.flatMap(({ stream: s }) => [s.block, s.piece * phases]);
  const base = [...multiples, codes?.group || 4].reduce(commonMultiple, 16);
  const weights = Math.max(...anchors.map(({ stream: s }) => (4 * s.blockWords) / s.block));
  const operand = codes ? 1 + codes.sums.reduce((n, s) => n + 4 / s.part, 4 / (codes.group || 256)) : 4; // prettier-ignore
  const most = chunkBytes / (weights + mostTokens * operand);
  let chunk = base;
  while (2 * chunk <= most && chunk < k) chunk *= 2;
  return chunk;
}

/** Where what threads share lies, in words of the tile that holds it. */
export interface Places {
  readonly form: Form;
  /** Rows of the operand: one for each token, or for each slot of each. */
  readonly rows: number;
  /** Elements of k that are laid out at a time. */
  readonly elements: number;
  /** Floats, or codes four to a word. */
  readonly x: number;
  readonly perRow: number;
  readonly scales: number;
  readonly scalesPerRow: number;
  readonly sums: readonly (SumWanted & { readonly at: number; readonly perRow: number })[];
  readonly weights: number;
  readonly head: number;
  /** Sums of phases, by chunk and token. */
  readonly partials: number;
  readonly words: number;
}

/** Tokens times this many rows of the operand. */
export const rowsPerToken = ({ xSlots, slots }: Contraction): number =>
  xSlots ? present(slots) : 1;

export function placesOf(s: Shared, form: Form): Places {
  const rows = form.tokens * rowsPerToken(s.contraction);
  const elements = form.chunks * s.chunk;
  let at = 0;
  const take = (words: number): number => {
    const from = at;
    at += Math.ceil(words / 4) * 4;
    return from;
  };
  const perRow = s.codes ? elements / 4 : elements;
  const scalesPerRow = s.codes ? (s.codes.group === 0 ? 1 : elements / s.codes.group) : 0;
  const x = take(rows * perRow);
  const scales = take(rows * scalesPerRow);
  const sums = (s.codes?.sums ?? []).map((sum) => {
    const per = elements / sum.part;
    return { ...sum, perRow: per, at: take(rows * per) };
  });
  const streams = s.anchors.map((a) => a.stream);
  const stretch = Math.max(...streams.map((w) => (elements / w.block) * w.blockWords));
  // Rows are laid out as floats before they become codes, where weights come to lie later.
  const weights = take(Math.max(stretch, s.codes ? elements : 0));
  const head = take(Math.max(...streams.map((w) => w.headWords)));
  const partials = take(form.chunks * form.tokens * productThreads);
  return {
    form,
    rows,
    elements,
    x,
    perRow,
    scales,
    scalesPerRow,
    sums,
    weights,
    head,
    partials,
    words: at,
  };
}

/** As many chunks at a time as `words` hold, the rounds over k of much the same length. */
export function singleForm(s: Shared, words: number): Form {
  let most = 1;
  while (most < s.chunks && placesOf(s, { tokens: 1, chunks: most + 1 }).words <= words) most++;
  return { tokens: 1, chunks: Math.ceil(s.chunks / Math.ceil(s.chunks / most)) };
}

/** How many tokens share a pass: the most that fit into `words` besides what each of them adds. */
export function tokensTogether(shared: readonly Shared[], words: number, perToken: number): number {
  if (shared.some((s) => s.anchors.some((a) => a.contraction.ids !== undefined))) return 1;
  for (let tokens = mostTokens; tokens > 1; tokens /= 2) {
    const most = Math.max(...shared.map((s) => placesOf(s, { tokens, chunks: 1 }).words));
    if (most + tokens * perToken <= words) return tokens;
  }
  return 1;
}
