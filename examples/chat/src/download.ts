/** The way of the weights into the page, shard by shard and in all. */
import type { OnProgress } from 'cograph/runtime';
import { byId, make, sizeText } from './dom.ts';

export interface DownloadView {
  begin(): void;
  readonly onProgress: OnProgress;
  end(): void;
}

export function downloadView(): DownloadView {
  const section = byId('download', HTMLElement);
  const text = byId('download-text', HTMLElement);
  const total = byId('download-total', HTMLProgressElement);
  const list = byId('download-shards', HTMLOListElement);
  let bars: HTMLProgressElement[] = [];
  let began = 0;
  return {
    begin() {
      began = performance.now();
      bars = [];
      list.replaceChildren();
      total.removeAttribute('value');
      text.textContent = 'Loading…';
      section.hidden = false;
    },
    onProgress(done, all, shard) {
      total.value = all === 0 ? 1 : done / all;
      const seconds = (performance.now() - began) / 1000;
      const rate = seconds > 0.5 ? `, ${sizeText(done / seconds)} a second` : '';
      const from = shard?.cached === true ? 'from this browser’s storage' : 'over the network';
      text.textContent = `${sizeText(done)} of ${sizeText(all)} ${from}${rate}`;
      if (!shard) return;
      while (bars.length < shard.count) {
        const bar = make('progress', { max: 1, value: 0 });
        bar.setAttribute('aria-label', `Shard ${bars.length + 1}`);
        bars.push(bar);
        list.append(make('li', {}, [bar]));
      }
      const bar = bars[shard.index];
      if (!bar) return;
      bar.value = shard.done / shard.total;
      bar.title = `${sizeText(shard.done)} of ${sizeText(shard.total)}`;
    },
    end() {
      section.hidden = true;
    },
  };
}
