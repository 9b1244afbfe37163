/** A model in a worker of a page does what it does without one. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import bard from '../examples/bard/model.ts';
import { example } from './helpers/golden.ts';
import { bundleOf, temporaryFolder } from './helpers/models.ts';
import {
  type Served,
  chromiumPath,
  openBrowser,
  serve,
  workersIn,
  writePage,
} from './helpers/pages.ts';

/** Runs in the page; `open` loads with the options given, `say` is what an error comes to. */
const script = `
import * as cograph from 'cograph/runtime';
const { load } = cograph;
globalThis.open = ({ place = './bundle', ...options } = {}) => load(place, { threads: 2, context: 256, cache: false, ...options });
globalThis.say = async (f) => {
  try { await f(); return 'nothing'; }
  catch (e) {
    const known = ['BundleError', 'InputError', 'DeviceError'].filter((n) => e instanceof cograph[n]);
    return [...known, typeof e.code === 'string' ? e.code : e.name].join(' ');
  }
};
globalThis.read = async (parts, most = Infinity) => {
  const ids = []; let last;
  for await (const part of parts) { ids.push(...part.ids); last = part; if (ids.length >= most) break; }
  return { ids, finish: last?.finish };
};
globalThis.ready = true;
`;

describe.skipIf(chromiumPath === undefined)('a model in a worker, in Chromium', () => {
  const folder = temporaryFolder();
  let browser: Browser;
  let served: Served;
  let page: Page;
  const run = <T>(body: string): Promise<T> => page.evaluate<T>(`(async () => { ${body} })()`);
  const visit = async (place = served): Promise<void> => {
    await page.goto(`${place.url}/index.html`);
    await page.waitForFunction('globalThis.ready');
  };

  beforeAll(async () => {
    await writePage(folder, script);
    const bundle = await bundleOf(bard, example('bard/weights'));
    cpSync(bundle, join(folder, 'bundle'), { recursive: true });
    browser = await openBrowser();
    served = await serve(folder);
    page = await browser.newPage();
    await visit();
  }, 60_000);
  afterAll(() => browser.close());

  test('has the same facts, sequences, logits and samples as one in the page', async () => {
    const [there, here] = await run<unknown[]>(`
      const all = [];
      for (const worker of [true, false]) {
        const m = await open({ worker });
        const { name, vocab, context, target, threads, memoryBytes } = m;
        const s = m.sequence();
        const rows = await s.append([0, 5, 6], { logits: 'all' });
        const fork = s.fork();
        const a = await s.append([7]);
        const b = await fork.append([8]);
        s.rollback(3);
        const again = await s.append([7]);
        const bytes = await fork.snapshot();
        const restored = await m.restore(bytes);
        const c = await restored.append([9]);
        const sampled = await read(restored.generate([4], { maxTokens: 12, temperature: 1, seed: 7 }));
        const text = 'HAMLET: To be';
        const out = {
          facts: { name, vocab, context, target, threads, memoryBytes, bytes: m.manifest.weights.bytes },
          rows: [...rows, ...a, ...b, ...c, ...again].map((r) => [...r.slice(0, 40)]),
          same: a[0].every((v, i) => v === again[0][i]),
          ids: [s.ids, fork.ids, restored.ids, s.length].map((x) => JSON.stringify(x)),
          sampled,
          encoded: m.tokenizer.encode(text),
          decoded: m.tokenizer.decode(m.tokenizer.encode(text, { special: false })),
          perplexity: await m.perplexity('To be, or not to be, that is the question: whether', 8),
          logits: (await m.logits([1, 2])).map((r) => r.length),
        };
        [s, fork, restored].forEach((x) => x.end());
        all.push(out);
        m.close();
      }
      return all;
    `);
    expect(there).toEqual(here);
    expect(there).toMatchObject({ same: true, facts: { threads: 2 }, logits: [2048, 2048] });
  });

  test('a sequence holds what its reader has seen, wherever the reader stops', async () => {
    const found = await run<unknown[]>(`
      const all = [];
      for (const worker of [true, false]) {
        const m = await open({ worker });
        const s = m.sequence();
        const first = await read(s.generate([0, 5, 6], { maxTokens: 30, greedy: true, ignoreEos: true }), 5);
        const middle = s.ids.length;
        const controller = new AbortController();
        const ids = [];
        for await (const p of s.generate([3], { maxTokens: 200, greedy: true, ignoreEos: true, signal: controller.signal })) {
          ids.push(...p.ids);
          if (ids.length === 4) controller.abort();
          if (p.finish) ids.push(p.finish);
        }
        all.push({ first, middle, ids, held: [...s.ids] });
        m.close();
      }
      return all;
    `);
    expect(found[0]).toEqual(found[1]);
    expect(found[0]).toMatchObject({ middle: 7 });
    expect(JSON.stringify(found[0])).toContain('abort');
  });

  test('errors keep their class and code', async () => {
    const found = await run<Record<string, string>>(`
      const m = await open({ worker: true });
      const s = m.sequence();
      const aborted = new AbortController();
      aborted.abort();
      const out = {
        id: await say(() => m.logits([99999])),
        context: await say(() => m.logits(Array(300).fill(1))),
        empty: await say(() => read(m.generate([]))),
        option: await say(() => read(m.generate([1], { maxTokens: -1 }))),
        sequence: await say(() => s.append([-1])),
        length: await say(() => s.rollback(3)),
        busy: await say(async () => { const p = s.append([1]); try { s.fork(); } finally { await p; } }),
        snapshot: await say(() => m.restore(new Uint8Array(30))),
        chat: await say(() => read(m.generate([{ role: 'user', content: 'x' }]))),
        abort: (await read(m.generate([1], { signal: aborted.signal }))).finish,
        alive: (await m.logits([1])).length,
        missing: await say(() => open({ worker: true, place: './nothing' })),
        target: await say(() => open({ worker: true, target: 'abacus' })),
        native: await say(() => open({ worker: true, target: 'native' })),
        loading: await say(() => open({ worker: true, signal: aborted.signal })),
        threads: await say(() => open({ threads: 0 })),
      };
      s.end();
      out.ended = await say(() => s.append([1]));
      const waiting = say(() => m.logits(Array(200).fill(1)));
      m.close();
      m.close();
      out.closed = await waiting;
      out.after = await say(() => m.logits([1]));
      out.sequenceAfter = await say(() => m.sequence().append([1]));
      return out;
    `);
    expect(found).toEqual({
      id: 'InputError input/id',
      context: 'InputError input/context',
      empty: 'InputError input/empty',
      option: 'InputError input/option',
      sequence: 'InputError input/id',
      length: 'InputError input/length',
      busy: 'InputError input/busy',
      snapshot: 'BundleError snapshot/format',
      chat: 'InputError input/chat',
      abort: 'abort',
      alive: 1,
      missing: 'BundleError bundle/file',
      target: 'DeviceError device/target',
      native: 'DeviceError device/target',
      loading: 'AbortError',
      threads: 'InputError input/option',
      ended: 'InputError input/ended',
      closed: 'InputError input/ended',
      after: 'InputError input/ended',
      sequenceAfter: 'InputError input/ended',
    });
    await expect.poll(() => workersIn(browser), { timeout: 8000 }).toBe(0);
  });

  test('a load that is given up, many loads, a page that goes: no worker is left', async () => {
    const before = served.answer;
    served.answer = (path) =>
      path.includes('/weights/') ? new Promise((resolve) => setTimeout(resolve, 300)) : undefined;
    const said = await run<string>(`
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 120);
      return say(() => open({ worker: true, signal: controller.signal }));
    `);
    served.answer = before;
    expect(said).toBe('AbortError');
    const counts = await run<number[]>(`
      const out = [];
      for (let i = 0; i < 4; i++) {
        const m = await open();
        out.push((await read(m.generate([1, 2], { maxTokens: 3, ignoreEos: true }))).ids.length);
        m.close();
      }
      return out;
    `);
    expect(counts).toEqual([3, 3, 3, 3]);
    await expect.poll(() => workersIn(browser), { timeout: 8000 }).toBe(0);
    // Gone in the middle of a generation.
    await run(
      'globalThis.m = await open(); void read(m.generate([1], { maxTokens: 200, ignoreEos: true }))',
    );
    expect(await workersIn(browser)).toBeGreaterThan(0);
    await visit();
    await expect.poll(() => workersIn(browser), { timeout: 8000 }).toBe(0);
  });

  test('without its script: a page that asked for a worker is told, one that did not goes on', async () => {
    const bare = temporaryFolder();
    await writePage(bare, script, false);
    cpSync(join(folder, 'bundle'), join(bare, 'bundle'), { recursive: true });
    const place = await serve(bare);
    await visit(place);
    const found = await run<unknown>(`
      const notices = [];
      const m = await open({ onNotice: (n) => notices.push(n.code) });
      const { ids } = await read(m.generate([1], { maxTokens: 2, ignoreEos: true }));
      m.close();
      return { ids: ids.length, notices, asked: await say(() => open({ worker: true })) };
    `);
    expect(found).toEqual({
      ids: 2,
      notices: ['worker/start'],
      asked: 'DeviceError device/worker',
    });
    await visit();
  });
});
