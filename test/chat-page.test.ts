/** The example's page, built and used in a real browser. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { build } from 'vite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import bard from '../examples/bard/model.ts';
import { example } from './helpers/golden.ts';
import { bundleOf, temporaryFolder } from './helpers/models.ts';
import {
  type Served,
  chromiumPath,
  cutShards,
  openBrowser,
  serve,
  writePage,
} from './helpers/pages.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const pieceBytes = 2 ** 20;

test('its sources have no mistakes of types', () => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const project = join(root, 'examples/chat');
  execFileSync(process.execPath, [tsc, '--noEmit', '-p', project], { cwd: root });
});

describe.skipIf(chromiumPath === undefined)('the page, in Chromium', () => {
  const folder = temporaryFolder();
  let shards: readonly string[] = [];
  let browser: Browser;
  let served: Served;
  let context: BrowserContext;
  let page: Page;
  const troubles: string[] = [];

  beforeAll(async () => {
    const bundles = temporaryFolder();
    cpSync(await bundleOf(bard, example('bard/weights')), join(bundles, 'bard'), {
      recursive: true,
    });
    shards = cutShards(join(bundles, 'bard'), pieceBytes);
    process.env['COGRAPH_BUNDLES'] = bundles;
    const configFile = join(root, 'examples/chat/vite.config.ts');
    await build({ configFile, build: { outDir: folder, emptyOutDir: true }, logLevel: 'error' });
    browser = await openBrowser();
  }, 60_000);
  afterAll(() => browser.close());

  const open = async (isolated: boolean): Promise<void> => {
    served = await serve(folder, isolated);
    context = await browser.newContext();
    await show();
  };
  const show = async (): Promise<void> => {
    page = await context.newPage();
    page.on('pageerror', (e) => troubles.push(e.message));
    await page.goto(`${served.url}/`);
  };
  beforeEach(() => {
    troubles.length = 0;
  });
  afterEach(async () => {
    await context.close();
    served.close();
    expect(troubles).toEqual([]);
  });

  const ready = (): Promise<unknown> => page.waitForSelector('#send:not([disabled]):visible');
  const set = (name: string, value: number): Promise<void> =>
    page.evaluate(`(() => {
      const input = document.querySelector('#sampling [name=${name}]');
      input.value = ${value};
      input.dispatchEvent(new Event('input'));
    })()`);
  const text = async (selector: string): Promise<string> =>
    (await page.locator(selector).innerText()).trim();
  const figure = (list: string, name: string): Promise<string> =>
    text(`#${list} dt:text-is("${name}") + dd`);
  const weightsAsked = (): readonly string[] => served.asked.filter((p) => p.includes('/weights/'));

  test('a first visit: download, talk, regenerate, edit, figures', async () => {
    await open(true);
    await page.click('text=Download and start');
    await ready();
    expect(weightsAsked()).toHaveLength(shards.length);
    expect(await text('#status')).toContain('wasm');
    await set('maxTokens', 32);
    await set('temperature', 0);
    await page.setViewportSize({ width: 1280, height: 900 });
    if (await page.locator('#panel').isHidden()) await page.click('#panel-toggle');

    // With the keyboard alone: the message field has the focus.
    await page.keyboard.press('Control+A');
    await page.keyboard.type('HAMLET:');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('To be, or not');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.assistant:not(.busy) .again');
    const said = await text('.assistant .said');
    expect(said.length).toBeGreaterThan(20);
    expect(await text('.user .said')).toBe('HAMLET:\nTo be, or not');
    expect(await figure('speed', 'Tokens a second')).toMatch(/^[\d.]+$/);
    expect(await figure('speed', 'First token after')).toMatch(/s$/);
    const cost = await page.locator('#cost tbody tr:nth-child(3) td').allInnerTexts();
    expect(cost).toHaveLength(3);
    for (const cell of cost) expect(cell).toMatch(/\d.* (µs|ms|s|kB|MB)$/);
    expect(await figure('memory', 'Held in all')).toMatch(/MB$/);

    // Greedy: the same again.
    await page.click('text=Regenerate');
    await page.waitForSelector('.assistant:not(.busy) .again');
    expect(await text('.assistant .said')).toBe(said);

    await page.keyboard.press('Tab');
    await page.fill('#prompt', 'ROMEO:');
    await page.press('#prompt', 'Enter');
    await page.waitForSelector('.assistant:not(.busy) .again >> nth=0');
    await expect.poll(() => page.locator('.assistant').count()).toBe(2);
    await ready();

    // The second message is edited: the first turn is kept.
    await page.locator('.user >> nth=1').getByText('Edit').click();
    await page.keyboard.press('Control+A');
    await page.keyboard.type('JULIET:');
    await page.keyboard.press('Enter');
    await ready();
    await expect.poll(() => text('.user >> nth=1 >> .said')).toBe('JULIET:');
    expect(await page.locator('.assistant').count()).toBe(2);
    const prompt = await figure('speed', 'Prompt');
    const [computed, kept] = [...prompt.matchAll(/\d+/g)].map(Number);
    expect(kept).toBeGreaterThan(30);
    expect(computed).toBeLessThan(20);

    await page.click('#fresh');
    expect(await page.locator('#log li').count()).toBe(0);
    expect(await text('#stored li')).toContain('bard');
  });

  test('stop ends a reply, by button and by Escape', async () => {
    await open(true);
    await page.click('#load');
    await ready();
    await set('maxTokens', 400);
    for (const way of ['#stop', 'Escape']) {
      await page.click('#fresh');
      await page.fill('#prompt', 'KING HENRY:');
      await page.press('#prompt', 'Enter');
      await page.waitForSelector('.assistant.busy .said:not(:empty)');
      if (way === 'Escape') await page.keyboard.press(way);
      else await page.click(way);
      await page.waitForSelector('.assistant:not(.busy)');
      expect(await text('.assistant .foot')).toContain('stopped');
    }
  });

  test('a second visit without the network, from a server that sends no headers', async () => {
    await open(false);
    await page.click('#load');
    await ready();
    // The service worker makes the page an isolated one.
    expect(await page.evaluate('crossOriginIsolated')).toBe(true);
    expect(await text('#status')).toMatch(/wasm, \d+ threads/);
    await page.close();
    served.asked.length = 0;
    served.close();
    await show();
    await ready();
    await page.fill('#prompt', 'HAMLET:');
    await page.press('#prompt', 'Enter');
    await page.waitForSelector('.assistant:not(.busy) .again');
    expect((await text('.assistant .said')).length).toBeGreaterThan(10);
    expect(served.asked).toEqual([]);
  });

  test('a page left in the middle of the download goes on from there', async () => {
    await open(true);
    const late = shards.slice(4).map((f) => `/models/bard/${f}`);
    served.answer = (path) =>
      late.includes(path) ? new Promise<void>(() => undefined) : undefined;
    await page.click('#load');
    await expect.poll(() => page.locator('#download-shards progress').count()).toBe(shards.length);
    await expect.poll(() => text('#download-text')).toContain('4.2 MB');
    const bars = page.locator('#download-shards progress');
    expect(await bars.first().getAttribute('value')).toBe('1');
    await page.reload();
    served.answer = undefined;
    served.asked.length = 0;
    await expect.poll(() => text('#start-stored')).toMatch(/4\.2 MB of/);
    await page.click('text=Go on and start');
    await ready();
    expect([...weightsAsked()].sort()).toEqual([...late].sort());
  });

  test('a download can be given up and begun again; trouble is told', async () => {
    await open(true);
    served.answer = (path) =>
      path.includes('/weights/') ? new Promise<void>(() => undefined) : undefined;
    await page.click('#load');
    await page.click('#cancel');
    await page.waitForSelector('text=Try again');
    expect(await page.locator('#trouble').isHidden()).toBe(true);
    served.answer = (path) => (path.includes('/weights/') ? 404 : undefined);
    await page.click('text=Try again');
    await expect.poll(() => text('#trouble')).toContain('404');
    served.answer = undefined;
    await page.click('text=Try again');
    await ready();
    expect(await page.locator('#trouble').isHidden()).toBe(true);
  });

  test('a phone, without WebGPU: nothing is wider than the screen', async () => {
    served = await serve(folder);
    context = await browser.newContext({
      viewport: { width: 360, height: 640 },
      colorScheme: 'dark',
    });
    await context.addInitScript('delete Navigator.prototype.gpu');
    await show();
    expect(await page.evaluate("'gpu' in navigator")).toBe(false);
    await page.click('#load');
    await ready();
    expect(await text('#status')).toContain('wasm');
    await page.fill('#prompt', 'HAMLET:');
    await page.press('#prompt', 'Enter');
    await page.waitForSelector('.assistant:not(.busy) .again');
    await page.click('#panel-toggle');
    expect(await page.getAttribute('#panel-toggle', 'aria-expanded')).toBe('true');
    expect(await figure('target', 'Target')).toBe('wasm');
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
    // Dark as the system has it, until the page is told otherwise.
    const back = (): Promise<string> =>
      page.evaluate('getComputedStyle(document.body).backgroundColor');
    const dark = await back();
    await page.click('#theme');
    expect(await back()).not.toBe(dark);
    await page.keyboard.press('Escape');
    expect(await page.locator('#panel').isHidden()).toBe(true);
  });

  test('what a model says cannot act', async () => {
    const place = temporaryFolder();
    await writePage(
      place,
      `import { markdownView } from '${join(root, 'examples/chat/src/markdown.ts')}';
      globalThis.view = markdownView(document.body);`,
      false,
    );
    served = await serve(place);
    context = await browser.newContext();
    await show();
    await page.waitForFunction('globalThis.view');
    const bad = [
      '<img src=x onerror="globalThis.hit = 1">',
      '<script>globalThis.hit = 2</script>',
      '[link](javascript:globalThis.hit=3)',
      '<iframe srcdoc="<script>parent.hit = 4</script>"></iframe>',
      '<svg onload="globalThis.hit = 5"></svg><form action="/x"><input></form>',
      '![picture](http://127.0.0.1:1/x.png) <b style="position:fixed">bold</b>',
    ].join('\n\n');
    const pieces = ['# Head\n\none', '# Head\n\none **two**\n\n| a |\n|---|\n| b |', bad];
    const found: string[] = [];
    for (const piece of pieces) {
      found.push(
        await page.evaluate(`view.show(${JSON.stringify(piece)}), document.body.innerHTML`),
      );
    }
    expect(found[0]).toContain('<h1>Head</h1>');
    expect(found[1]).toContain('<strong>two</strong>');
    expect(found[1]).toContain('<td>b</td>');
    expect(found[2]).toContain('<b>bold</b>');
    expect(found[2]).not.toMatch(
      /<(img|script|iframe|form|input)|javascript:|onload|onerror|style=/,
    );
    expect(await page.evaluate('globalThis.hit')).toBeUndefined();
    // Blocks that are as they were stay the same elements.
    const same = await page.evaluate(`(() => {
      view.show('first\\n\\nsec');
      const [first] = document.body.children;
      view.show('first\\n\\nsecond\\n\\nthird');
      return first === document.body.children[0] && document.body.children.length;
    })()`);
    expect(same).toBe(3);
  });

  test('all of its files are kept for visits without the network', async () => {
    await open(true);
    const names = readdirSync(join(folder, 'assets'));
    expect(names.some((n) => n.startsWith('worker-'))).toBe(true);
    const sw = readFileSync(join(folder, 'sw.js'), 'utf8');
    for (const name of names) expect(sw).toContain(`assets/${name}`);
    expect(existsSync(join(folder, 'models/bard/manifest.json'))).toBe(true);
  });
});
