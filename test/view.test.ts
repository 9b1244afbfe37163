/** The page of a model in a real browser: what it shows, how it is used, and that it is alone. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, type Page, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deepseekV3 } from '../bench/check-time.ts';
import bard from '../examples/bard/model.ts';
import { viewCommand } from '../compiler/cli/commands/view.ts';
import { partCosts } from '../compiler/3-graph/part-cost.ts';
import type { ViewData } from '../compiler/view/data.ts';
import { pageOf } from '../compiler/view/page.ts';
import { viewModel } from '../compiler/view/scopes.ts';
import { checked, dataOf, ruled, small, twice } from './helpers/views.ts';
import { fixture } from './helpers/golden.ts';
import { temporaryFolder } from './helpers/models.ts';
import { wide } from './helpers/wide-model.ts';

const executable = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((p) => existsSync(p));

const folder = temporaryFolder();

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

  test('says how weights are stored: as the checkpoint does', () => {
    const typed = viewModel(checked(wide), {
      context: 1,
      dtypeOf: (path) => (path.includes('norm') ? 'f32' : 'bf16'),
    });
    const of = (path: string) => typed.scopes.find((s) => s.path === path);
    expect(of('layers[3..60].experts')?.precision).toBe('bf16');
    expect(of('layers[3..60]')?.precision).toBe('bf16 f32');
    expect(of('layers[3..60].experts')?.properties).toEqual([
      { name: 'weights', value: 'bf16, as the checkpoint stores them' },
      { name: 'placement', value: 'left to the planner' },
    ]);
  });

  test('of DeepSeek-V3 is as large as its authors say, and small', () => {
    const v3 = dataOf(deepseekV3());
    expect(v3.total[0] / 1e9).toBeCloseTo(671, 0);
    expect(v3.scopes.filter((s) => s.kind === 'layers').map((s) => s.path)).toEqual([
      'layers[0..2]',
      'layers[3..60]',
    ]);
    expect(pageOf(v3).length).toBeLessThan(200_000);
  });

  test('says of experts, of their routers and of what is around them what lies ahead', () => {
    const { scopes } = dataOf(deepseekV3());
    const told = scopes.filter((s) => s.ahead.length > 0);
    expect(told.map((s) => s.title)).toEqual(['deepseek', 'layers[3..60]', 'gate', 'moe']);
    const from = 'norm of the residual after the attention of the layer';
    for (const { ahead } of told) {
      expect(ahead).toEqual([{ users: 'layers 3..60', from, layers: 0, flops: 0, bytes: 0 }]);
    }
    const router = dataOf(bard).scopes.find((s) => s.title === 'router');
    expect(router?.ahead[0]?.from).toBe('raw residual before the attention of the layer');
    expect(router?.ahead[0]?.flops).toBeGreaterThan(0);
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
const out = join(folder, 'out.html');
// The command's report is what it prints as JSON.
const partsIn = (report: unknown): { total: number[]; paths: string[] } => {
  const { total, scopes } = report as ViewData;
  return { total: total.slice(0, 3), paths: scopes.map((s) => s.path) };
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

  test('needs no weights: a folder of a config alone, a model file without a checkpoint', async () => {
    const plain = join(folder, 'plain');
    mkdirSync(plain);
    copyFileSync(join(fixture('goldens/llama'), 'config.json'), join(plain, 'config.json'));
    const full = await viewCommand(fixture('goldens/llama'), { out, context: 64 }, context);
    const bare = await viewCommand(plain, { context: 64 }, context);
    expect(bare).toMatchObject({ out: join(plain, 'model.html'), bound: false });
    expect(partsIn(bare)).toEqual(partsIn(full));

    const file = join(plain, 'tiny.ts');
    const index = new URL('../compiler/index.ts', import.meta.url).href;
    writeFileSync(
      file,
      `import { bind, model } from '${index}';
       export default bind(model\`tiny(ids: i32 [t]) -> [t, 8] {
         weight embed: [8, 4]
         return embed[ids] @ embed.T
       }\`);`,
    );
    const report = await viewCommand(file, { context: 64 }, context);
    expect(report).toMatchObject({ out: join(plain, 'tiny.html'), bound: false, name: 'tiny' });
    expect(partsIn(report).total.slice(0, 2)).toEqual([32, 128]);
  });

  test('takes more sheets, and tells of each rule where it is written', async () => {
    const file = join(folder, 'sheets.ts');
    const index = new URL('../compiler/index.ts', import.meta.url).href;
    const lines = [`import { precision } from '${index}';`, '', 'export const small = precision`'];
    writeFileSync(file, [...lines, '  embed { weights: bf16 }', '`;'].join('\n'));
    const flags = { out, context: 64, sheet: [file] };
    const report = await viewCommand(fixture('goldens/llama'), flags, context);
    const [top] = (report as ViewData).scopes; // cast: as above
    const head = top?.weights.find((w) => w.name === 'embed');
    expect(head?.type).toMatch(/^bf16/);
    expect(head?.properties[1]?.value).toMatch(/^bf16, by embed \(.*sheets\.ts:4\)$/);
    expect(report).toMatchObject({ typed: true, bound: true, warnings: [] });
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
    ['deepseek-v3', deepseekV3(), 'f32[t, 7168]', 'moe'],
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

  test('a part that is called twice counts its parameters once, and one around layers once', async () => {
    const { page, faults } = await show('twice', dataOf(twice));
    const { total } = partCosts(checked(twice), { keys: 512 });
    const figures = (has: string) =>
      page
        .locator('tr[data-row]', { hasText: has })
        .evaluateAll((rows) =>
          rows.map((r) =>
            [...r.querySelectorAll('[data-value]')].map((e) =>
              Number(e.getAttribute('data-value')),
            ),
          ),
        );
    await page.fill('#search', 'up');
    const [flopsOfMlp, flopsOfOuter] = [4 * 4 * 7, 4 * 4 * 5];
    expect(await figures('mlp')).toEqual([[3 * 56, 3 * 224, 3 * 2 * flopsOfMlp]]);
    expect(await figures('outer')).toEqual([
      [40, 160, 3 * flopsOfOuter],
      [40, 160, flopsOfOuter],
    ]);
    expect(await figures('twice')).toEqual([[total.parameters, total.bytes, total.flops]]);
    await page.fill('#search', '');
    await page.locator('#canvas g.layers').click();
    await page.locator('#level').click();
    const [first, second] = await page.locator('#canvas g.part[aria-label^="mlp,"]').all();
    const details = page.locator('#details');
    await first?.click();
    const text = await details.textContent();
    expect(text).toContain('In all, 6 times');
    await second?.click();
    expect(await details.textContent()).toBe(text);
    expect(faults).toEqual([]);
    await page.close();
  });

  test('details of experts tell their scheme, their place and the rules', async () => {
    const { page, faults } = await show('small', ruled(small));
    await page.fill('#search', '**.moe');
    await page.locator('tr[data-row]', { hasText: 'swigluExpertList' }).first().click();
    const details = await page.locator('#details').textContent();
    expect(details).toContain('q4_0, by :experts');
    expect(details).toContain('auto, by layers[31..].moe');
    expect(await page.locator('#summary').textContent()).toContain('as sheets say');
    expect(faults).toEqual([]);
    await page.close();
  });

  test('details of a router say what lies between its choice and the use', async () => {
    const { page } = await show('ahead', dataOf(deepseekV3()));
    await page.fill('#search', 'gate');
    await page.locator('tr[data-row]', { hasText: 'biasedSigmoid' }).first().click();
    const details = await page.locator('#details').textContent();
    expect(details).toContain(
      'layers 3..60: chosen fromnorm of the residual after the attention of the layer',
    );
    expect(details).toContain('0: used at once');
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
