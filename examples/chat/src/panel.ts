/** Settings, and figures: what a token should cost by the bundle's own count, and what it did cost. */
import {
  type LoadedModel,
  type SampleOptions,
  type Timings,
  cachedBundles,
  clearCache,
} from 'cograph/runtime';
import type { PromptSizes } from './conversation.ts';
import { byId, fill, make, sizeText, timeText } from './dom.ts';
import { read, write } from './settings.ts';

export interface Sampling extends SampleOptions {
  readonly maxTokens: number;
}

export interface Panel {
  sampling(): Sampling;
  /** Shows where a model runs and what it takes; nothing without one. */
  model(model: LoadedModel | undefined): void;
  reply(timings: Timings, sizes: PromptSizes, held: number): void;
  refreshStored(): Promise<void>;
}

export function makePanel(): Panel {
  const form = byId('sampling', HTMLFormElement);
  const inputs = [...form.querySelectorAll('input')];
  for (const input of inputs) {
    input.value = read(`sampling.${input.name}`) ?? input.value;
    const show = (): void => {
      const output = input.closest('label')?.querySelector('output');
      if (output) output.value = input.name === 'topK' && input.value === '0' ? 'all' : input.value;
    };
    input.oninput = () => {
      write(`sampling.${input.name}`, input.value);
      show();
    };
    show();
  }
  form.onsubmit = (e) => e.preventDefault();
  byId('clear', HTMLButtonElement).onclick = async () => {
    await clearCache();
    await panel.refreshStored();
  };
  let current: LoadedModel | undefined;
  let rate: number | undefined;

  const panel: Panel = {
    sampling() {
      const value = (name: string): number =>
        Number(inputs.find((i) => i.name === name)?.value ?? '');
      const seed = inputs.find((i) => i.name === 'seed')?.value ?? '';
      const topK = value('topK');
      return {
        temperature: value('temperature'),
        topP: value('topP'),
        minP: value('minP'),
        repetitionPenalty: value('repetitionPenalty'),
        maxTokens: value('maxTokens'),
        ...(topK > 0 ? { topK } : {}),
        seed: seed === '' ? Math.floor(Math.random() * 2 ** 32) : Number(seed),
      };
    },
    model(model) {
      current = model;
      fill(byId('speed', HTMLElement), []);
      fill(byId('target', HTMLElement), model ? targetRows(model) : []);
      fill(byId('memory', HTMLElement), model ? memoryRows(model) : []);
      showCost(model, rate, undefined, 0);
      if (!model || rate !== undefined) return;
      void measureRate().then((found) => {
        rate = found;
        if (current === model) showCost(model, rate, undefined, 0);
      });
    },
    reply(t, { promptTokens, keptTokens }, held) {
      const fresh = promptTokens - keptTokens;
      fill(byId('speed', HTMLElement), [
        ['Tokens a second', t.tokensPerSecond.toFixed(1)],
        ['First token after', timeText(t.firstTokenMs)],
        ['Prompt', `${fresh} tokens computed, ${keptTokens} kept`],
        ['Prompt tokens a second', t.promptTokensPerSecond.toFixed(0)],
        ['Reply', `${t.generatedTokens} tokens in ${timeText(t.totalMs)}`],
        ['Context', `${held} of ${current?.context ?? 0} tokens`],
      ]);
      showCost(current, rate, t, held);
    },
    async refreshStored() {
      const list = byId('stored', HTMLUListElement);
      const all = await cachedBundles();
      byId('clear', HTMLButtonElement).disabled = all.length === 0;
      list.replaceChildren(
        ...all.map(({ url, name, bytes, storedBytes }) => {
          const part = storedBytes < bytes ? `${sizeText(storedBytes)} of ` : '';
          const remove = make('button', {
            type: 'button',
            textContent: 'Remove',
            onclick: () => void clearCache(url).then(panel.refreshStored),
          });
          remove.setAttribute('aria-label', `Remove ${name}`);
          return make('li', {}, [`${name}: ${part}${sizeText(bytes)}`, remove]);
        }),
        ...(all.length === 0 ? [make('li', { textContent: 'Nothing yet' })] : []),
      );
    },
  };
  return panel;
}

const targetRows = (m: LoadedModel): [string, string][] => [
  ['Target', m.target],
  ['Threads', String(m.threads)],
  ...m.passedOver.map(({ target, why }): [string, string] => [`Not ${target}`, why]),
];

function memoryRows(m: LoadedModel): [string, string][] {
  const weights = m.manifest?.weights.bytes ?? 0;
  return [
    ['Held in all', sizeText(m.memoryBytes)],
    ['Weights', sizeText(weights)],
    ['Cache and the rest', sizeText(m.memoryBytes - weights)],
    ['Cache, a token', sizeText(m.manifest?.cache.bytesPerSlot ?? 0)],
  ];
}

/** A token reads its weights and the cache once: that is what memory gives at best. */
function showCost(
  model: LoadedModel | undefined,
  rate: number | undefined,
  timings: Timings | undefined,
  held: number,
): void {
  const body = byId('cost', HTMLTableElement).tBodies[0];
  const note = byId('cost-note', HTMLElement);
  const manifest = model?.manifest;
  if (!body || !manifest) {
    body?.replaceChildren();
    note.textContent = '';
    return;
  }
  const { weightBytesPerToken: weights, flopsPerToken } = manifest.cost;
  const cache = manifest.cache.bytesPerSlot * held;
  const predicted = (bytes: number): string =>
    rate === undefined ? '…' : timeText((1000 * bytes) / rate);
  const perToken =
    timings && timings.tokensPerSecond > 0 ? 1000 / timings.tokensPerSecond : undefined;
  const prompt = timings && timings.promptTokensPerSecond > 0 ? timings : undefined;
  const rows: readonly (readonly string[])[] = [
    ['Weights read', sizeText(weights), predicted(weights), ''],
    [`Cache read, at most ${held} tokens`, sizeText(cache), predicted(cache), ''],
    [
      'A token of the reply',
      sizeText(weights + cache),
      predicted(weights + cache),
      perToken === undefined ? '' : timeText(perToken),
    ],
    ['A token of the prompt', '', '', prompt ? timeText(1000 / prompt.promptTokensPerSecond) : ''],
  ];
  body.replaceChildren(
    ...rows.map(([name = '', ...cells]) =>
      make('tr', {}, [
        make('th', { scope: 'row', textContent: name }),
        ...cells.map((textContent) => make('td', { textContent })),
      ]),
    ),
  );
  const reached = perToken && rate ? (weights + cache) / (perToken / 1000) : undefined;
  note.textContent = [
    rate === undefined
      ? 'The memory of this machine is being measured.'
      : `Predicted: bytes over ${(rate / 1e9).toFixed(1)} GB a second, which one core copies here.`,
    `${(flopsPerToken / 1e6).toFixed(1)} MFLOP a token.`,
    ...(reached === undefined || perToken === undefined
      ? []
      : [
          `Measured: ${(reached / 1e9).toFixed(1)} GB and ${(flopsPerToken / 1e6 / perToken).toFixed(1)} GFLOP a second.`,
        ]),
  ].join(' ');
}

/** Bytes a second, read and written, that one core copies: the best of a few times. */
function measureRate(): Promise<number | undefined> {
  const body = `
    const a = new Uint8Array(3e7).fill(1), b = new Uint8Array(3e7), all = [];
    for (let i = 0; i < 7; i++) {
      const began = performance.now();
      b.set(a);
      all.push(performance.now() - began);
    }
    postMessage(6e10 / Math.min(...all));`;
  return new Promise((resolve) => {
    const url = URL.createObjectURL(new Blob([body], { type: 'text/javascript' }));
    const worker = new Worker(url);
    const end = (rate: number | undefined): void => {
      worker.terminate();
      URL.revokeObjectURL(url);
      resolve(rate);
    };
    worker.onmessage = (e: MessageEvent<number>) => end(e.data);
    worker.onerror = () => end(undefined);
  });
}
