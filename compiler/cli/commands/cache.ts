import { openBundleCache } from '../bundle-cache.ts';
import { sizeText } from '../console.ts';
import type { Context } from './context.ts';

export const cacheActions = ['list', 'clear'] as const;

/** `cograph cache`: what is kept of GGUF files that were run, or all of it removed. */
export async function cacheCommand(
  what: (typeof cacheActions)[number],
  _: unknown,
  { console, json }: Context,
): Promise<unknown> {
  const cache = openBundleCache();
  const { folder, limit } = cache;
  const bundles = await cache.list();
  const bytes = bundles.reduce((n, b) => n + b.bytes, 0);
  const count = bundles.length === 1 ? '1 bundle' : `${bundles.length} bundles`;
  if (what === 'clear') {
    await cache.clear();
    console.note(`removed ${count} of ${sizeText(bytes)} from ${folder}`);
    return { folder, removed: bundles.length, bytes };
  }
  if (!json) {
    for (const b of bundles) {
      const used = b.used.toISOString().slice(0, 16).replace('T', ' ');
      console.out(`${sizeText(b.bytes).padStart(10)}  ${used}  ${b.source} (${b.options})\n`);
    }
  }
  console.note(`${count} of ${sizeText(bytes)} in ${folder}, at most ${sizeText(limit)}`); // prettier-ignore
  return { folder, limit, bytes, bundles };
}
