/** Selectors against the parts of a model. */
import type { Log } from '../base/diagnostic.ts';
import { nearestName } from '../base/messages/nearest.ts';
import { ops, opOf } from '../ops/index.ts';
import type { ExprAst, RangeAst, SegmentAst, SelectorAst, TestAst } from '../1-syntax/ast.ts';
import { type BlockPart, type ModelPart, type ParamValue, partsOf } from './tree.ts';

/** A name of a part's path, with the layer's number where it is that of a repeat. */
interface Step {
  readonly name: string;
  readonly layer: number | undefined;
  /** How many layers the repeat has. */
  readonly layers: number;
  readonly part: ModelPart | undefined;
}

/** The parts that one of the selectors selects, in the order of the tree. */
export function selectParts(
  tree: BlockPart,
  selectors: readonly SelectorAst[],
  log: Log,
  unknownKind: 'select/kind' | 'sheet/kind' = 'select/kind',
): readonly ModelPart[] {
  const parts = [...partsOf(tree)];
  if (!checkKinds(parts, selectors, log, unknownKind)) return [];
  if (!checkAttributes(parts, selectors, log)) return [];
  const byPath = new Map(parts.map((p) => [p.path, p]));
  const counts = new Map<string, number>();
  for (const p of parts) {
    if (p.kind === 'layer') counts.set(p.block, (counts.get(p.block) ?? 0) + 1);
  }
  return parts.filter((p) => {
    const steps = p.path === '' ? [] : stepsOf(p.path, byPath, counts);
    return selectors.some((s) => matches(s.segments, steps));
  });
}

function checkKinds(
  parts: readonly ModelPart[],
  selectors: readonly SelectorAst[],
  log: Log,
  code: 'select/kind' | 'sheet/kind',
): boolean {
  const fromOps = Object.keys(ops).flatMap((name) => {
    const { kind, table, chosen } = opOf(name);
    return [kind ?? [], table?.kind ?? [], chosen ? 'router' : []].flat();
  });
  const blocks = parts.flatMap((p) => (p.kind === 'instance' ? [p.block] : []));
  const known = [...new Set([...fromOps, 'linear', 'layer', 'instance', ...blocks])];
  const wrong = selectors
    .flatMap((s) => s.segments.flatMap((x) => x.kinds))
    .filter((k) => !known.includes(k.text));
  for (const { text, span } of wrong) {
    const nearest = nearestName(text, known);
    log.report(code, { name: text, known: known.join(', '), nearest }, [{ span, text: '' }]);
  }
  return wrong.length === 0;
}

/** A test of what no part of the model has; each is reported. */
function checkAttributes(
  parts: readonly ModelPart[],
  selectors: readonly SelectorAst[],
  log: Log,
): boolean {
  const tests = selectors.flatMap((s) => s.segments.flatMap((x) => x.tests));
  if (tests.length === 0) return true;
  const known = new Set(parts.flatMap((p) => Object.keys(attributesOf(p))));
  const wrong = tests.filter((t) => !known.has(t.name.text));
  for (const { name } of wrong) {
    const nearest = nearestName(name.text, known);
    log.report('select/attribute', { name: name.text, nearest }, [{ span: name.span, text: '' }]);
  }
  return wrong.length === 0;
}

function stepsOf(
  path: string,
  parts: ReadonlyMap<string, ModelPart>,
  counts: ReadonlyMap<string, number>,
): readonly Step[] {
  const steps: Step[] = [];
  const names = path.split('.');
  for (let i = 0; i < names.length; i++) {
    const to = (end: number): string => names.slice(0, end).join('.');
    const layers = counts.get(to(i + 1)) ?? 0;
    const layer = layers > 0 ? Number(names[i + 1]) : undefined;
    const name = names[i] ?? '';
    if (layer !== undefined) i++;
    steps.push({ name, layer, layers, part: parts.get(to(i + 1)) });
  }
  return steps;
}

function matches(segments: readonly SegmentAst[], steps: readonly Step[]): boolean {
  const [segment, ...rest] = segments;
  const [step, ...others] = steps;
  if (!segment) return steps.length === 0;
  const { name } = segment;
  if (name.kind !== 'any') {
    if (!step || (name.kind === 'name' && name.text !== step.name)) return false;
    return holds(segment, step) && matches(rest, others);
  }
  const free = segment.kinds.length + segment.ranges.length + segment.tests.length === 0;
  if (free && matches(rest, steps)) return true;
  if (!step) return false;
  if (matches(segments, others)) return true;
  return !free && holds(segment, step) && matches(rest, others);
}

function holds({ kinds, ranges, tests }: SegmentAst, { layer, layers, part }: Step): boolean {
  return (
    kinds.every(({ text }) => part !== undefined && isKind(part, text)) &&
    ranges.every((r) => layer !== undefined && inRange(r, layer, layers)) &&
    tests.every((t) => part !== undefined && passes(t, part))
  );
}

/** What it is, what it computes, and the block that it is an instance of. */
const isKind = (part: ModelPart, kind: string): boolean =>
  part.kind === kind ||
  part.kinds.includes(kind) ||
  (part.kind === 'instance' && part.block === kind);

function inRange({ from, to, every }: RangeAst, layer: number, count: number): boolean {
  const at = (n: number): number => (n < 0 ? count + n : n);
  const first = at(from ?? 0);
  return layer >= first && layer <= at(to ?? count - 1) && (layer - first) % every === 0;
}

/** Parameters of an instance and its `block`; of a weight its `rank`, `rows` and `columns`. */
function attributesOf(part: ModelPart): Readonly<Record<string, ParamValue>> {
  if (part.kind !== 'weight') return { block: part.block, ...part.params };
  const [columns = 1, rows = 1] = [...part.shape].reverse();
  return { rank: part.shape.length, rows, columns };
}

function passes({ name, op, value }: TestAst, part: ModelPart): boolean {
  const attributes = attributesOf(part);
  const has = Object.hasOwn(attributes, name.text) ? attributes[name.text] : undefined;
  const wanted = plainValue(value);
  if (has === undefined || wanted === undefined) return false;
  if (op === '==') return has === wanted;
  if (op === '!=') return has !== wanted;
  if (typeof has !== 'number' || typeof wanted !== 'number') return false;
  switch (op) {
    case '<':
      return has < wanted;
    case '<=':
      return has <= wanted;
    case '>':
      return has > wanted;
    case '>=':
      return has >= wanted;
  }
}

/** Names stand for texts: `[block = reglu]`. */
function plainValue(e: ExprAst): ParamValue | undefined {
  switch (e.kind) {
    case 'number':
    case 'text':
    case 'bool':
      return e.value;
    case 'name':
      return e.name;
    case 'unary': {
      const of = e.op === '-' ? plainValue(e.of) : undefined;
      return typeof of === 'number' ? -of : undefined;
    }
    default:
      return undefined;
  }
}
