/** Prettier with the plugin: TypeScript and its templates laid out in one run. */
import { type Options, format } from 'prettier';
import { expect, test } from 'vitest';
import { formatFile } from '../compiler/editor/format.ts';
import * as plugin from '../compiler/editor/prettier-plugin.ts';

const run = (text: string, options: Options = {}): Promise<string> =>
  format(text, { plugins: [plugin], parser: 'typescript', singleQuote: true, ...options });

const untidy = `import {block} from "cograph"
export const scaled = ( width:number )=>{
      return block\`scaled( x:[t,n] ;eps:real=1e-6)->[t,n]{
      weight gain:[n]
    // stays
            return x*rsqrt( mean(x*x)+eps )*gain }\`
}
`;
const tidy = `import { block } from 'cograph';
export const scaled = (width: number) => {
  return block\`
    scaled(x: [t, n]; eps: real = 1e-6) -> [t, n] {
      weight gain: [n]
      // stays
      return x * rsqrt(mean(x * x) + eps) * gain
    }
  \`;
};
`;

test.each(['typescript', 'babel-ts'])('%s: code and templates are laid out', async (parser) => {
  expect(await run(untidy, { parser })).toBe(tidy);
  expect(await run(tidy, { parser })).toBe(tidy);
});

test('one run is enough where Prettier moves the line of a tag', async () => {
  const long = `import { block } from 'cograph';
const all = [{ name: 'the first of several', part: block\`a(x: [t]) -> [t] { return x+x }\` }, { part: block\`b(x: [t]) { return x }\`, name: 'the second of several' }];
function f() { if (all) { { const inner = block\`
 c(x: [t]) {
 y = x
 return y }\`; return inner; } } }
`;
  const once = await run(long);
  expect(once).toContain('part: block`a(x: [t]) -> [t] { return x + x }`');
  expect(once).toContain('\n        c(x: [t]) {\n          y = x\n');
  expect(await run(once)).toBe(once);
  expect(formatFile('/m.ts', once, 80).edits).toEqual([]);
});

test('lines break at the width that Prettier has', async () => {
  const wide = `import { block } from 'cograph';
const a = block\`a(first: [t, n], second: [t, n], third: [t, n]) -> [t, n] { return first + second * third }\`;
`;
  const longest = async (printWidth: number): Promise<number> =>
    Math.max(...(await run(wide, { printWidth })).split('\n').map((l) => l.length));
  expect(await longest(60)).toBeLessThanOrEqual(60);
  expect(await longest(160)).toBeGreaterThan(100);
});

test('ends of lines are those that Prettier is told', async () => {
  expect(await run(untidy, { endOfLine: 'crlf' })).toBe(tidy.replaceAll('\n', '\r\n'));
});

test('templates with mistakes and texts of other tags stay, the code around them does not', async () => {
  const text = "import {block} from 'cograph';const a=block`a(x:[t] {return   x}`,b=css`a{b:c}`";
  const laid = await run(text);
  expect(laid).toContain('const a = block`a(x:[t] {return   x}`,\n  b = css`');
  expect(await run(laid)).toBe(laid);
});

test('a range alone is laid out as Prettier does by itself', async () => {
  const range = { rangeStart: 0, rangeEnd: 30 };
  const alone = await format(untidy, { parser: 'typescript', singleQuote: true, ...range });
  expect(await run(untidy, range)).toBe(alone);
});

test('code that TypeScript cannot read is told as ever', async () => {
  await expect(run('import {block} from "cograph"; const = block`a(){return 1}`')).rejects.toThrow(
    SyntaxError,
  );
});
