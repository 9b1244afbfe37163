/** Reads the text that `print.ts` writes. Places in templates are not in the text: origins are empty. */
import { type Dim, symbol } from '../base/dim.ts';
import { Failure } from '../base/failure.ts';
import { type DType, type TensorType, bytesOf, stepSymbols } from '../base/type.ts';
import { isOpName, opOf } from '../ops/index.ts';
import type { AttrSpec, AttrValue, Attrs } from '../ops/op.ts';
import { readFn } from '../scalar/read.ts';
import type { Carried, Graph, Node, StepNode, ValueId } from './graph.ts';

const typedValue = /^%(\d+): ([a-z0-9]+)\[([^\]]*)\]/;
/** Up to the next semicolon that stands in no quoted text. */
const attribute = /(?:"(?:[^"\\]|\\.)*"|[^";])+/g;
const mostDepth = 64;

/** Throws Failure `graph/read` with the line where the text is not what `printGraph` writes. */
export function readGraph(text: string): Graph {
  const lines = text.split('\n').map((l) => l.trim());
  let at = 0;
  const types = new Map<ValueId, TensorType>();
  const fail = (why: string): never => {
    throw new Failure('graph/read', `line ${at}: ${why}`);
  };
  const next = (): string => lines[at++] ?? fail('the text ends too early');

  const name = /^graph (\S+) \{$/.exec(next())?.[1] ?? fail('expected graph NAME {');
  const nodes = readNodes(0);
  const results = /^return (%.*)$/.exec(next())?.[1] ?? fail('expected return');
  if (next() !== '}') fail('expected }');
  return { name, nodes, results: valuesOf(results), types, origins: new Map() };

  function readNodes(depth: number): Node[] {
    if (depth > mostDepth) fail('too many levels');
    const out: Node[] = [];
    for (;;) {
      const line = lines[at] ?? '';
      if (/^return |^}$| = last %\d+$/.test(line)) return out;
      at++;
      const count = /^loop (\d+) \{$/.exec(line)?.[1];
      out.push(count === undefined ? readNode(line) : readLoop(Number(count), depth));
    }
  }

  function readLoop(count: number, depth: number): Node {
    const firsts: { param: ValueId; initial: ValueId }[] = [];
    while (/ = first %\d+$/.test(lines[at] ?? '')) {
      const [, values, initial] = / ?(.*) = first %(\d+)$/.exec(next()) ?? [];
      firsts.push({ param: oneOf(values ?? ''), initial: Number(initial) });
    }
    const body = readNodes(depth + 1);
    const carried = firsts.map((f): Carried => {
      const [, value, last] = /^(.*) = last %(\d+)$/.exec(next()) ?? fail('expected last');
      return { ...f, next: Number(last), result: oneOf(value ?? '') };
    });
    if (next() !== '}') fail('expected }');
    return { kind: 'loop', count, carried, body };
  }

  function readNode(line: string): Node {
    const [left, right] = split(line);
    const results = definedBy(left);
    const result = results[0] ?? fail('a node without a result');
    const step = /^step (ids|position|rows)$/.exec(right)?.[1];
    if (step !== undefined) return { kind: 'step', field: fieldOf(step), result };
    const input = /^input ("(?:[^"\\]|\\.)*")$/.exec(right)?.[1];
    if (input !== undefined) return { kind: 'input', name: textOf(input), result };
    const weight =
      /^weight ("(?:[^"\\]|\\.)*")(?: from ("(?:[^"\\]|\\.)*"))?(?: stored ("(?:[^"\\]|\\.)*"))?$/.exec(
        right,
      );
    if (weight) {
      const own = textOf(weight[1] ?? '');
      const source = weight[2] === undefined ? own : textOf(weight[2]);
      const scheme = weight[3] === undefined ? {} : { scheme: textOf(weight[3]) };
      return { kind: 'weight', name: own, source, ...scheme, result };
    }
    const constant = /^constant (\S+)$/.exec(right)?.[1];
    if (constant !== undefined) return { kind: 'constant', value: realOf(constant), result };
    return readOp(right, results);
  }

  function readOp(text: string, results: readonly ValueId[]): Node {
    const match =
      /^(\w+)\(([^)]*)\)(?: \{(.*)\})?(?: keeps ("(?:[^"\\]|\\.)*") (\w+)\[([^\]]*)\])?$/s.exec(
        text,
      );
    const [, op = '', inputs = '', attrs, state, dtype = '', row = ''] = match ?? [];
    if (!match || !isOpName(op)) return fail(`no op ${op === '' ? text.slice(0, 40) : op}`);
    const spec = {
      row: row === '' ? [] : row.split(', ').map(realOf),
      dtype: dtypeOf(dtype || 'f32'),
    };
    return {
      kind: 'op',
      op,
      inputs: valuesOf(inputs),
      attrs: readAttrs(attrs, opOf(op).attrs),
      results,
      ...(state === undefined ? {} : { state: { name: textOf(state), spec } }),
    };
  }

  function readAttrs(text: string | undefined, specs: Readonly<Record<string, AttrSpec>>): Attrs {
    const out: Record<string, AttrValue> = {};
    for (const part of text?.match(attribute) ?? []) {
      const [name, value] = split(part.trim());
      const spec = specs[name] ?? fail(`no attribute ${name}`);
      out[name] = attrOf(value, spec);
    }
    return out;
  }

  function attrOf(text: string, spec: AttrSpec): AttrValue {
    switch (spec.kind) {
      case 'int':
      case 'real':
        return realOf(text);
      case 'bool':
        return text === 'true' ? true : text === 'false' ? false : fail('expected true or false');
      case 'text':
        return textOf(text);
      case 'ints':
      case 'reals': {
        const inner = /^\[(.*)\]$/.exec(text)?.[1] ?? fail('expected a list');
        return inner === '' ? [] : inner.split(', ').map(realOf);
      }
      case 'fn':
        return readFn(text, spec.params?.map((p) => p.dtype) ?? []);
    }
  }

  function split(line: string): [string, string] {
    const cut = line.indexOf(' = ');
    return cut < 0 ? fail('expected =') : [line.slice(0, cut), line.slice(cut + 3)];
  }

  /** Defines the typed values on the left of a line. */
  function definedBy(left: string): ValueId[] {
    return left.split(/, (?=%)/).map((part) => {
      const [whole, id, dtype = '', dims = ''] = typedValue.exec(part) ?? [];
      if (whole !== part) return fail(`expected %N: TYPE, found ${part.slice(0, 40)}`);
      const value = Number(id);
      if (types.has(value)) fail(`%${value} is defined twice`);
      const shape = dims === '' ? [] : dims.split(', ').map(dimOf);
      types.set(value, { dtype: dtypeOf(dtype), shape });
      return value;
    });
  }

  function oneOf(left: string): ValueId {
    return definedBy(left)[0] ?? fail('expected a value');
  }

  function valuesOf(text: string): ValueId[] {
    return text === ''
      ? []
      : text.split(', ').map((v) => Number(/^%(\d+)$/.exec(v)?.[1] ?? fail(`no value ${v}`)));
  }

  function dimOf(text: string): Dim {
    if (/^\d+$/.test(text)) return Number(text);
    return stepSymbols.some((s) => s === text) ? symbol(text) : fail(`no size ${text}`);
  }

  function dtypeOf(text: string): DType {
    const found = Object.keys(bytesOf).find((d): d is DType => d === text);
    return found ?? fail(`no element type ${text}`);
  }

  function fieldOf(text: string): StepNode['field'] {
    return text === 'ids' ? 'ids' : text === 'rows' ? 'rows' : 'position';
  }

  function textOf(quoted: string): string {
    try {
      return String(JSON.parse(quoted));
    } catch {
      return fail('expected a quoted text');
    }
  }

  function realOf(text: string): number {
    const value = Number(text);
    return text === '' || (Number.isNaN(value) && text !== 'NaN')
      ? fail(`no number ${text}`)
      : value;
  }
}
