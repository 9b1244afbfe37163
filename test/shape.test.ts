/** The house keeps its shape: layers, cycles, registries, sizes. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Graph, alg } from '@dagrejs/graphlib';
import { describe, expect, test } from 'vitest';
import { opRecords } from './helpers/op-modules.ts';
import { ops } from '../compiler/ops/index.ts';
import { families } from '../stdlib/index.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

function filesUnder(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith('.ts'))
    .map((f) => join(folder, f));
}

interface Import {
  readonly from: string;
  /** A file of the project, or a package. */
  readonly to: string;
  readonly typesOnly: boolean;
}

const importsOf = (file: string): readonly Import[] => {
  const text = readFileSync(join(root, file), 'utf8').replace(/^\s*(\*|\/\/).*$/gm, '');
  const found = text.matchAll(
    /(import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?['"]([^'"\n]+)['"]|import\(\s*['"]([^'"\n]+)['"]\s*\)/g,
  );
  return [...found].map(([, , type, fixed, lazy]) => {
    const target = fixed ?? lazy ?? '';
    const to = target.startsWith('.')
      ? relative(root, resolve(root, dirname(file), target))
      : target;
    return { from: file, to, typesOnly: type !== undefined };
  });
};

const compiler = filesUnder('compiler');
const runtime = filesUnder('runtime');
const stdlib = filesUnder('stdlib');
const product = [...compiler, ...runtime, ...stdlib];
const imports = product.flatMap(importsOf);

/** From left to right: a file imports from the left of its own layer, or its own folder. */
const layers = [
  'compiler/base',
  'compiler/scalar',
  'compiler/ops',
  'compiler/1-syntax',
  'compiler/2-model',
  'compiler/3-graph',
  'compiler/4-partition',
  'compiler/5-kernel',
  'compiler/6-program',
  'compiler/7-emit',
  'compiler/8-bundle',
];

describe('imports', () => {
  test('there are some, of every layer', () => {
    for (const layer of layers) {
      expect(
        imports.some((i) => i.from.startsWith(`${layer}/`)),
        layer,
      ).toBe(true);
    }
  });

  test('flow from left to right', () => {
    const layerOf = (f: string): number => layers.findIndex((l) => f.startsWith(`${l}/`));
    // The plan names the layouts that kernels read weights in: a type, one file.
    const agreed = new Set(['compiler/5-kernel/layout.ts']);
    const wrong = imports.filter(({ from, to }) => {
      const [a, b] = [layerOf(from), layerOf(to)];
      if (a < 0 || !to.startsWith('compiler/')) return false;
      return (b < 0 || b > a) && !agreed.has(to);
    });
    expect(wrong).toEqual([]);
  });

  test('the page of a model is made of the model and its costs alone', () => {
    const view = imports.filter((i) => i.from.startsWith('compiler/view/'));
    expect(view.length).toBeGreaterThan(0);
    const allowed = /^compiler\/(base|scalar|ops|2-model|3-graph|view)\//;
    expect(view.filter((i) => !allowed.test(i.to))).toEqual([]);
    const users = imports.filter((i) => i.to.startsWith('compiler/view/'));
    expect(users.filter((i) => !/^compiler\/(view|cli)\//.test(i.from))).toEqual([]);
  });

  test('nothing but the command line imports what serves editors', () => {
    const users = imports.filter((i) => i.to.startsWith('compiler/editor/'));
    const allowed = /^compiler\/(editor|cli)\//;
    expect(users.length).toBeGreaterThan(0);
    expect(users.filter((i) => !allowed.test(i.from))).toEqual([]);
    const wrong = imports.filter(
      (i) => i.from.startsWith('compiler/editor/') && /^(compiler\/cli|stdlib)\//.test(i.to),
    );
    expect(wrong).toEqual([]);
  });

  test('the runtime imports nothing of the compiler, which knows its manifest alone', () => {
    expect(
      imports.filter((i) => i.from.startsWith('runtime/') && /^(compiler|stdlib)\//.test(i.to)),
    ).toEqual([]);
    const shared = imports.filter(
      (i) => /^compiler\/(?!cli\/)/.test(i.from) && i.to.startsWith('runtime/'),
    );
    expect([...new Set(shared.map((i) => i.to))]).toEqual(['runtime/manifest.ts']);
  });

  test('nothing imports the command line, and the library imports only the public door', () => {
    expect(
      imports.filter(
        (i) => i.to.startsWith('compiler/cli/') && !i.from.startsWith('compiler/cli/'),
      ),
    ).toEqual([]);
    const doors = imports.filter(
      (i) => i.from.startsWith('stdlib/') && i.to.startsWith('compiler/'),
    );
    expect([...new Set(doors.map((i) => i.to))]).toEqual(['compiler/index.ts']);
  });

  test.each([
    ['chevrotain', 'compiler/1-syntax/'],
    ['@dagrejs/graphlib', 'compiler/4-partition/'],
    ['wabt', 'compiler/7-emit/wasm.ts'],
    ['commander', 'compiler/cli/'],
    ['js-tokens', 'compiler/editor/'],
    ['prettier', 'compiler/editor/prettier-plugin.ts'],
    ['vscode-languageserver/node', 'compiler/cli/server.ts'],
  ])('%s is imported in %s only', (name, place) => {
    const users = imports.filter((i) => i.to === name);
    expect(users.length).toBeGreaterThan(0);
    expect(users.filter((i) => !i.from.startsWith(place))).toEqual([]);
  });

  test('the compiler has none of Node outside of its command line', () => {
    const nodes = imports.filter(
      (i) => i.to.startsWith('node:') && /^(compiler\/(?!cli)|stdlib)/.test(i.from),
    );
    expect(nodes).toEqual([]);
  });

  test('have no cycles', () => {
    const graph = new Graph();
    for (const i of imports)
      if (!i.typesOnly && product.includes(i.to)) graph.setEdge(i.from, i.to);
    expect(alg.findCycles(graph)).toEqual([]);
  });
});

describe('registries', () => {
  test('every op record of a file in compiler/ops is registered', async () => {
    const registered = new Set<unknown>(Object.values(ops));
    const records = [...(await opRecords())];
    expect(records.length).toBeGreaterThan(20);
    expect(records.filter(([, r]) => !registered.has(r)).map(([name]) => name)).toEqual([]);
  });

  test('every family file is registered', () => {
    const helpers = ['config', 'decoder', 'family', 'index', 'rope'];
    const files = filesUnder('stdlib/families').map((f) => f.replace(/^.*\/|\.ts$/g, ''));
    const own = files.filter((f) => !helpers.includes(f)).sort();
    expect(families.map((f) => f.name).sort()).toEqual(own);
  });

  test('no pass asks for a family, an attention variant or a router by name', () => {
    const names = families.flatMap((f) => [f.name, ...f.modelTypes]);
    for (const file of compiler) {
      const text = readFileSync(join(root, file), 'utf8');
      const found = names.filter((n) => new RegExp(`['"]${n}['"]`).test(text));
      expect(found, file).toEqual([]);
    }
  });
});

describe('files', () => {
  const all = [
    ...product,
    ...filesUnder('test'),
    ...filesUnder('bench'),
    ...filesUnder('examples'),
    // What bench/ installs for itself is not ours.
  ].filter((f) => !f.includes('node_modules/'));

  test('stay under 400 lines', () => {
    const long = all.filter((f) => {
      const text = readFileSync(join(root, f), 'utf8');
      return text.split('\n').length > 401 && !text.includes('Over 400 lines because');
    });
    expect(long).toEqual([]);
  });

  test('use no any', () => {
    const found = product.filter((f) =>
      /[:<(]\s*any\b|as any\b/.test(
        readFileSync(join(root, f), 'utf8').replace(/^\s*(\*|\/\/|\/\*\*).*$/gm, ''),
      ),
    );
    expect(found).toEqual([]);
  });

  test('of the compiler keep no state in modules', () => {
    const found = compiler.filter((f) =>
      /^(?:export )?let /m.test(readFileSync(join(root, f), 'utf8')),
    );
    expect(found).toEqual([]);
  });
});
