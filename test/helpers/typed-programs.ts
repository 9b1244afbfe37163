/**
 * Random models that a checker accepts, nearly all: names are declared, shapes fit. What their
 * mutants break is then a matter of types and not of names alone.
 */
import type { Hole, Template } from '../../compiler/1-syntax/template.ts';
import type { Random } from './random.ts';
import { templateOf } from './template.ts';

interface Tensor {
  readonly name: string;
  /** Sizes as the text writes them, rows left out. */
  readonly sizes: readonly string[];
}

interface Sizes {
  /** What the text writes, and how large it is. */
  readonly width: string;
  readonly wide: string;
  readonly heads: string;
  readonly head: string;
}

interface Writing {
  readonly random: Random;
  readonly sizes: Sizes;
  readonly lines: string[];
  readonly holes: Hole[];
  readonly tensors: Tensor[];
  /** Lists of as many entries as there are layers. */
  readonly lists: string[];
  indent: string;
  next: number;
  layer: string | undefined;
  flag: string | undefined;
}

const activations = ['silu', 'gelu', 'relu', 'tanh', 'sigmoid', 'exp', 'softmax', 'abs'];
const masks = [
  '|i, j| j <= i',
  '|i, j| j <= i and i - j < 8',
  '|i, j| (if j <= i then j > 2 else false)',
  '|i, j, h| j <= i and (h < 1 or i - j < 4)',
  '|i, j| j <= i and not (i - j > 3 and j > 0)',
];

export interface RandomModel {
  readonly template: Template;
  readonly blocks: readonly Template[];
}

/** A model of a few layers over blocks of its own. */
export function randomModel(random: Random): RandomModel {
  const [heads, head] = [random.pick([1, 2, 3]), random.pick([2, 4, 6])];
  const blocks = random.list(0, 2, (i) => randomBlock(random, `part_${i}`));
  const width = heads * head;
  const named = random.oneIn(2);
  const sizes: Sizes = named
    ? { width: 'width', wide: '2 * width', heads: 'heads', head: 'width / heads' }
    : { width: `${width}`, wide: `${width * 2}`, heads: `${heads}`, head: `${head}` };
  const w = writing(random, sizes);
  const layers = random.pick([1, 2, 3, 5]);
  const params = named ? `; width: int = ${width}, heads: int = ${heads}` : '';
  line(w, `m(ids: i32 [t]${params}) -> [t, 11] {`);
  w.indent = '  ';
  line(w, `weight embed: [11, ${sizes.width}]${random.oneIn(4) ? ' from "tok"' : ''}`);
  line(w, 'x = embed[ids]');
  w.tensors.push({ name: 'x', sizes: [sizes.width] });
  if (random.oneIn(2)) {
    const list = random.list(layers, layers, () => random.pick(['1', '4', '8']));
    line(w, `windows = [${list.join(', ')}]`);
    w.lists.push('windows');
  }
  if (random.oneIn(2)) {
    line(w, `flags = iota(${layers}) % 2 == 0`);
    w.flag = 'flags';
  }
  line(w, `repeat layers[l: ${layers}] {`);
  w.layer = 'l';
  inside(w, () => {
    blocks.forEach((b, i) => {
      w.holes.push(b);
      line(w, `use part_${i} = \${${w.holes.length - 1}}()`);
      line(w, `x = x + part_${i}(x)`);
    });
    random.list(1, 4, () => statement(w));
  });
  line(w, '}');
  w.layer = undefined;
  random.list(0, 2, () => statement(w));
  line(w, 'return x @ embed.T');
  w.indent = '';
  line(w, '}');
  return { template: templateOf(w.lines.join('\n'), w.holes, 'model'), blocks };
}

/** A block of [t, n] to [t, n]. */
export function randomBlock(random: Random, name: string): Template {
  const w = writing(random, { width: 'n', wide: '2 * n', heads: '1', head: 'n' });
  line(w, `${name}(x: [t, n]; scale: real = 0.5) -> [t, n] {`);
  w.indent = '  ';
  w.tensors.push({ name: 'x', sizes: ['n'] });
  random.list(1, 3, () => statement(w));
  line(w, random.oneIn(2) ? 'return x' : 'return scale * x');
  w.indent = '';
  line(w, '}');
  return templateOf(w.lines.join('\n'), w.holes, 'block');
}

const writing = (random: Random, sizes: Sizes): Writing => ({
  random,
  sizes,
  lines: [],
  holes: [],
  tensors: [],
  lists: [],
  indent: '',
  next: 0,
  layer: undefined,
  flag: undefined,
});

const line = (w: Writing, text: string): void => void w.lines.push(w.indent + text);

function inside(w: Writing, body: () => void): void {
  const outer = w.indent;
  const known = w.tensors.length;
  w.indent += '  ';
  body();
  w.indent = outer;
  w.tensors.length = known;
}

const fresh = (w: Writing, hint: string): string => `${hint}${w.next++}`;

/** One or several lines that change x, which stays [t, width]. */
function statement(w: Writing): void {
  const { random, sizes } = w;
  switch (random.below(10)) {
    case 0: {
      const name = fresh(w, 'w');
      line(w, `weight ${name}: [${sizes.width}, ${sizes.width}]`);
      return line(w, `x = x + ${activation(w, `x @ ${name}.T`)}`);
    }
    case 1: {
      const [up, down] = [fresh(w, 'up'), fresh(w, 'down')];
      line(w, `weight ${up}: [${sizes.wide}, ${sizes.width}], ${down}: [${sizes.width}, ${sizes.wide}]`); // prettier-ignore
      return line(w, `x = x + ${activation(w, `x @ ${up}.T`)} @ ${down}.T`);
    }
    case 2:
    case 3:
      return attention(w);
    case 4: {
      const gain = fresh(w, 'gain');
      line(w, `weight ${gain}: [${sizes.width}]`);
      return line(w, `x = x * rsqrt(mean(x * x) + ${random.pick(['1e-6', '0.001'])}) * ${gain}`);
    }
    case 5: {
      const when = condition(w);
      line(w, `if ${when} {`);
      inside(w, () => statement(w));
      if (random.oneIn(2)) {
        line(w, '} else {');
        inside(w, () => statement(w));
      }
      return line(w, '}');
    }
    case 6: {
      const [y, z] = [fresh(w, 'y'), fresh(w, 'z')];
      line(w, `${y} = ${value(w, 2)}`);
      line(w, `${z} = ${value(w, 2)} + ${y}`);
      return line(w, `x = ${z}`);
    }
    case 7: {
      const [v, i] = [fresh(w, 'v'), fresh(w, 'i')];
      line(w, `${v}, ${i} = top_k(x, 1)`);
      return line(w, `x = x * softmax(${v}) + x`);
    }
    case 8:
      return line(w, `x = sum((x as [t, 1, ${sizes.width}]) * 2, axis = 1) as [t, ${sizes.width}]`);
    default:
      return line(w, `x = ${value(w, 3)}`);
  }
}

function attention(w: Writing): void {
  const { random, sizes } = w;
  const names = ['q', 'k', 'v'].map((n) => fresh(w, n));
  const [q, k, v] = names;
  line(w, `weight ${names.map((n) => `w${n}: [${sizes.width}, ${sizes.width}]`).join(', ')}`);
  for (const n of names) line(w, `${n} = (x @ w${n}.T) as [t, ${sizes.heads}, ${sizes.head}]`);
  const windows = w.lists[0];
  const window =
    windows !== undefined && w.layer ? [`|i, j| j <= i and i - j < ${windows}[${w.layer}]`] : [];
  const mask = random.pick([...masks, ...window]);
  const score = random.oneIn(3) ? ', score = |s, i, j| 30.0 * tanh(s / 30.0)' : '';
  const scale = random.oneIn(3) ? ', scale = 0.125' : '';
  line(w, `x = x + attend(${q}, ${k}, ${v}, mask = ${mask}${score}${scale}) as [t, ${sizes.width}]`); // prettier-ignore
}

const activation = (w: Writing, of: string): string => `${w.random.pick(activations)}(${of})`;

/** A tensor of x's shape. */
function value(w: Writing, depth: number): string {
  const { random } = w;
  if (depth === 0) return 'x';
  const inner = (): string => value(w, depth - 1);
  switch (random.below(8)) {
    case 0:
      return `(${inner()} + ${inner()})`;
    case 1:
      return `(${inner()} * ${inner()})`;
    case 2:
      return `(${inner()} - ${number(w)})`;
    case 3:
      return `${inner()} / ${number(w)}`;
    case 4:
      return `(${inner()} - ${inner()})`;
    case 5:
      return `(-(${inner()}))`;
    case 6:
      return `(${inner()} * sum(${inner()}))`;
    default:
      return activation(w, inner());
  }
}

function number(w: Writing): string {
  const list = w.lists[0];
  return w.random.pick([
    '2',
    '0.5',
    'sqrt(2)',
    '(1 + 2 * 3)',
    'len([1, 2, 3])',
    '(if 1 < 2 then 3 else 4)',
    ...(list !== undefined && w.layer ? [`${list}[${w.layer}]`, `(${w.layer} + 1)`] : []),
  ]);
}

function condition(w: Writing): string {
  const plain = ['1 < 2', 'not (2 == 3)', 'true', 'false or 3 >= 3'];
  if (w.layer === undefined) return w.random.pick(plain);
  const own = [`${w.layer} % 2 == 0`, `${w.layer} > 0`];
  return w.random.pick(w.flag === undefined ? [...plain, ...own] : [...own, `${w.flag}[${w.layer}]`]); // prettier-ignore
}
