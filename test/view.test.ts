/** The page of a model in a real browser: what it shows, how it is used, and that it is alone. */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, type Page, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import bard from '../examples/bard/model.ts';
import { makeLog } from '../compiler/base/diagnostic.ts';
import { viewCommand } from '../compiler/cli/commands/view.ts';
import { checkModel } from '../compiler/2-model/check.ts';
import type { Model } from '../compiler/2-model/model.ts';
import { partCosts } from '../compiler/3-graph/part-cost.ts';
import type { BoundModel } from '../compiler/index.ts';
import type { ViewData } from '../compiler/view/data.ts';
import { pageOf } from '../compiler/view/page.ts';
import { viewModel } from '../compiler/view/scopes.ts';
import { fixture } from './helpers/golden.ts';
import { temporaryFolder } from './helpers/models.ts';
import { wide } from './helpers/wide-model.ts';

const executable = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((p) => existsSync(p));

const folder = temporaryFolder();

function checked(bound: BoundModel): Model {
  const model = checkModel(bound, makeLog());
  if (!model) throw new Error('does not check');
  return model;
}

const dataOf = (bound: BoundModel): ViewData => viewModel(checked(bound), { context: 512 });

describe('data', () => {
  const data = dataOf(wide);

  test('stays small: 61 layers and 256 experts are folded', () => {
    expect(data.scopes.filter((s) => s.kind === 'layers').map((s) => [s.path, s.note])).toEqual([
      ['layers[0..2]', '×3'],
      ['layers[3..60]', '×58'],
    ]);
    expect(pageOf(data).length).toBeLessThan(200_000);
  });

  test('has a type on every edge, and edges between nodes that there are', () => {
    for (const { nodes, edges } of [...data.scopes, ...dataOf(bard).scopes]) {
      for (const e of edges) {
        expect(nodes[e.from]?.ports[e.port]?.type).toMatch(/^(f32|i32)\[.*\]$/);
        expect(nodes[e.to]).toBeDefined();
      }
    }
  });

  test('carries a value from the last body of a pattern to its first', () => {
    const [top] = dataOf(bard).scopes;
    const boxes = top?.nodes.flatMap((n, i) => (n.label.startsWith('layers') ? [i] : [])) ?? [];
    const loops = top?.edges.filter((e) => e.loop);
    expect(loops?.map((e) => [e.from, e.to])).toEqual([[boxes.at(-1), boxes[0]]]);
  });

  test('says how weights are stored, and who places them', () => {
    const typed = viewModel(checked(wide), {
      context: 1,
      dtypeOf: (path) => (path.includes('norm') ? 'f32' : 'bf16'),
      propertiesOf: (path) =>
        path.endsWith('.experts') ? [{ name: 'placement', value: 'cpu' }] : [],
    });
    const of = (path: string) => typed.scopes.find((s) => s.path === path);
    expect(of('layers[3..60].experts')?.precision).toBe('bf16');
    expect(of('layers[3..60]')?.precision).toBe('bf16 f32');
    expect(of('layers[3..60].experts')?.properties).toEqual([
      { name: 'weights', value: 'bf16, as the checkpoint stores them' },
      { name: 'placement', value: 'cpu' },
    ]);
  });

  test('says of figures what the cost function says', () => {
    const { total } = partCosts(checked(wide), { keys: 512 });
    expect(data.total.slice(0, 3)).toEqual([total.parameters, total.bytes, total.flops]);
    const top = data.scopes[0]?.nodes.map((n) => n.cost[2]) ?? [];
    expect(top.reduce((a, b) => a + b, 0)).toBe(total.flops);
  });
});

const context = {
  console: { out: () => undefined, note: () => undefined, progress: () => never() },
  json: false,
  signal: new AbortController().signal,
};
const never = (): never => {
  throw new Error('no progress here');
};

describe('the command', () => {
  test('takes a Hugging Face folder, and leaves the page and nothing else', async () => {
    const out = join(folder, 'llama', 'page.html');
    const report = await viewCommand(fixture('goldens/llama'), { out, context: 64 }, context);
    expect(report).toMatchObject({ out, bound: true, context: 64 });
    expect(readFileSync(out, 'utf8')).toMatch(/^<!doctype html>/);
    expect(readdirSync(join(folder, 'llama'))).toEqual(['page.html']);
  });

  test('writes over no folder', async () => {
    const view = viewCommand(fixture('goldens/llama'), { out: folder, context: 64 }, context);
    await expect(view).rejects.toThrow('is a folder');
  });
});

test('names cannot become markup', () => {
  const nasty = '</script><script>globalThis.bad = 1</script><img src=x onerror="bad()">';
  const page = pageOf({ ...dataOf(bard), name: nasty });
  expect(page).not.toContain('<img');
  expect(page.match(/<script/g)).toHaveLength(2);
});

describe.skipIf(executable === undefined)('in Chromium', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executable ?? '', args: ['--no-sandbox'] });
  });
  afterAll(() => browser.close());

  interface Shown {
    readonly page: Page;
    /** Errors of the console, and what was asked for beside the file. */
    readonly faults: string[];
  }

  async function show(name: string, data: ViewData): Promise<Shown> {
    const file = join(folder, `${name}.html`);
    writeFileSync(file, pageOf(data));
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    const faults: string[] = [];
    page.on('console', (m) => void faults.push(m.text()));
    page.on('pageerror', (e) => void faults.push(e.message));
    page.on('request', (r) => {
      if (r.url() !== pathToFileURL(file).href) faults.push(r.url());
    });
    await page.goto(pathToFileURL(file).href);
    return { page, faults };
  }

  /** The types that stand on edges. */
  const types = (page: Page): Promise<(string | null)[]> =>
    page.locator('[data-type]').evaluateAll((all) => all.map((e) => e.getAttribute('data-type')));

  test.each([
    ['bard', bard, 'f32[t, 192]', 'experts'],
    ['wide', wide, 'f32[t, 7168]', 'experts'],
  ])('%s: layers open by keyboard, their edges have shapes', async (name, bound, type, part) => {
    const { page, faults } = await show(name, dataOf(bound));
    expect(await types(page)).toContain(type);
    const layers = page.locator('#canvas g.layers').last();
    expect(await page.locator(`#canvas g.part[aria-label^="${part},"]`).count()).toBe(0);
    await layers.focus();
    await page.keyboard.press('Enter');
    expect(await layers.getAttribute('aria-expanded')).toBe('true');
    expect(await page.locator(`#canvas g.part[aria-label^="${part},"]`).count()).toBe(1);
    expect((await types(page)).filter((t) => t === type).length).toBeGreaterThan(6);
    await page.screenshot({ path: join(folder, `${name}.png`) });
    await page.keyboard.press('Enter');
    expect(await layers.getAttribute('aria-expanded')).toBe('false');
    expect(faults).toEqual([]);
    await page.close();
  });

  test('figures of the tree are those of the cost function, layers times their count', async () => {
    const { page, faults } = await show('figures', dataOf(wide));
    const model = checked(wide);
    const cost = partCosts(model, { keys: 512 });
    const row = page.locator('tr[data-row]', { hasText: 'layers[3..60]' });
    const run = [...cost.runs].find(([r]) => r.first === 3)?.[1];
    const figures = await row
      .locator('td[data-value]')
      .evaluateAll((all) => all.map((e) => Number(e.getAttribute('data-value'))));
    expect(figures).toEqual([run?.parameters, run?.bytes, run?.flops]);
    const experts = [...cost.instances].find(([i]) => i.path.endsWith('.experts'))?.[1];
    const shown = await page
      .locator('tr[data-row]', { hasText: 'regluExperts' })
      .locator('td[data-value]')
      .evaluateAll((all) => all.map((e) => Number(e.getAttribute('data-value'))));
    expect(shown).toEqual(
      [experts?.parameters, experts?.bytes, experts?.flops].map((x) => 58 * (x ?? 0)),
    );
    expect(faults).toEqual([]);
    await page.close();
  });

  test.each([
    ['layers[7].experts.*', ['gate', 'up', 'down']],
    ['**.q_proj', ['q_proj']],
    ['lm_head', ['lm_head']],
  ])('the filter %s finds', async (filter, found) => {
    const { page } = await show('filter', dataOf(wide));
    await page.fill('#search', filter);
    const weights = await page.locator('tr .weight').allTextContents();
    expect([...new Set(weights)]).toEqual(found);
    await page.locator('tr .weight').last().click();
    expect(await page.locator('#details h2').textContent()).toContain(found.at(-1));
    await page.close();
  });

  test('nasty names are text', async () => {
    const nasty = '<img src=x onerror="globalThis.bad = 1">';
    const data = dataOf(bard);
    const scopes = data.scopes.map((s) => ({
      ...s,
      title: nasty,
      note: nasty,
      path: nasty,
      params: [{ name: nasty, value: nasty }],
      nodes: s.nodes.map((n) => ({ ...n, label: nasty, operands: [nasty] })),
    }));
    const { page, faults } = await show('nasty', { ...data, name: nasty, scopes });
    await page.locator('#level').click();
    expect(await page.locator('img').count()).toBe(0);
    expect(await page.evaluate('globalThis.bad')).toBeUndefined();
    expect(faults).toEqual([]);
    await page.close();
  });
});
