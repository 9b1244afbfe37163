/** Every code of the catalogue has a wrong and a right example, a golden rendering, and its page. */
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  codes,
  diagnosticsBook,
  exampleOf,
  goldenOf,
  hasExample,
  mistakesIn,
  renderingOf,
} from '../scripts/diagnostics-book.ts';

const spec = fileURLToPath(new URL('../spec/', import.meta.url));

test('every code has a wrong and a right example', () => {
  expect(codes.filter((c) => !hasExample(c, 'wrong') || !hasExample(c, 'right'))).toEqual([]);
});

test('every example belongs to a code', () => {
  const names = new Set(codes.map((c) => c.replace('/', '-')));
  const files = readdirSync(`${spec}diagnostics`);
  expect(
    files.filter((f) => !names.has(f.replace(/\.((wrong|right)(\.types)?\.ts|txt)$/, ''))),
  ).toEqual([]);
});

describe.each(codes)('%s', (code) => {
  test('is what the wrong example gives, as rendered', async () => {
    const found = await mistakesIn(exampleOf(code, 'wrong'));
    expect(found.map((d) => d.code)).toEqual([code]);
    expect(renderingOf(found)).toBe(readFileSync(goldenOf(code), 'utf8'));
  });

  test('is not what the right example gives', async () => {
    const found = await mistakesIn(exampleOf(code, 'right'));
    expect(renderingOf(found)).toBe('');
  });
});

test('the book is fresh: npm run docs', () => {
  expect(readFileSync(`${spec}diagnostics.md`, 'utf8')).toBe(diagnosticsBook());
});

test('messages follow the house rules', () => {
  for (const code of codes) {
    const [title = '', ...rest] = readFileSync(goldenOf(code), 'utf8').split('\n');
    expect(title, code).toMatch(/^(error|warning)\[[a-z]+\/[a-z-]+\]: /);
    expect(title, code).not.toMatch(/\.$/);
    expect(rest.join('\n'), code).toContain(' | ');
  }
});
