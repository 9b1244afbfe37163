/** read(print(g)) = g, for graphs of every kind of node. */
import { expect, test } from 'vitest';
import type { Graph } from '../compiler/3-graph/graph.ts';
import { printGraph } from '../compiler/3-graph/print.ts';
import { readGraph } from '../compiler/3-graph/read.ts';
import { compileGraph } from '../compiler/compile.ts';
import bard from '../examples/bard/model.ts';
import { bind } from '../compiler/index.ts';
import { randomGraph } from './helpers/random-graph.ts';
import { makeRandom } from './helpers/random.ts';
import { randomModel } from './helpers/typed-programs.ts';

function readsBack(graph: Graph, why: string): void {
  const text = printGraph(graph);
  const read = readGraph(text);
  const plain = (g: Graph) => ({ ...g, origins: new Map() });
  expect(plain(read), `${why}\n${text}`).toEqual(plain(graph));
  expect(printGraph(read)).toBe(text);
}

test('a thousand graphs as data', () => {
  for (let seed = 1; seed <= 1000; seed++) readsBack(randomGraph(makeRandom(seed)), `seed ${seed}`);
});

test('graphs of examples and of generated models', () => {
  readsBack(compileGraph(bard, undefined).graph, 'bard');
  for (let seed = 1; seed <= 100; seed++) {
    const { template } = randomModel(makeRandom(seed));
    readsBack(compileGraph(bind(template), undefined).graph, `seed ${seed}`);
  }
});
