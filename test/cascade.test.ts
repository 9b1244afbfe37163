/** The cascade for any rules: which of them wins does not depend on more than the rules say. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { showSheetValue } from '../compiler/base/sheet-values.ts';
import { readSheets } from '../compiler/compile.ts';
import { type SheetSource, bind, block, model, precision } from '../compiler/index.ts';

const dense = block`
  dense(x: [t, d]; inner: int) -> [t, d] {
    weight up: [inner, d], down: [d, inner]
    return (x @ up.T) @ down.T
  }
`;
const bound = bind(model`
  net(ids: i32 [t]) -> [t, 16] {
    weight embed: [16, 8]
    x = embed[ids]
    repeat layers[l: 3] {
      use mlp = ${dense}(inner = 12)
      x = x + mlp(x)
    }
    return x @ embed.T
  }
`);

/** Selectors of `layers.1.mlp.up` alone, by what they weigh: names, then what else they ask for. */
const selectors = [
  { names: 0, rest: 1, text: ':linear' },
  { names: 0, rest: 2, text: ':linear[rows == 12]' },
  { names: 1, rest: 0, text: '**.up' },
  { names: 1, rest: 1, text: '**.up:linear' },
  { names: 2, rest: 0, text: '**.mlp.up' },
  { names: 2, rest: 1, text: '**.mlp:dense.up' },
  { names: 3, rest: 0, text: 'layers.mlp.up' },
  { names: 3, rest: 1, text: 'layers[1].mlp.up' },
  { names: 3, rest: 2, text: 'layers[1].mlp.up:linear' },
] as const;
type Selector = (typeof selectors)[number];

interface Rule {
  readonly selector: Selector;
  readonly type: 'f32' | 'f16' | 'bf16';
}

// A hole would be a value: rules are text, which a template of one part is.
const sheetOf = (rules: readonly Rule[]): SheetSource => {
  const text = rules.map((r) => `${r.selector.text} { weights: ${r.type} }`).join('\n');
  return precision(Object.assign([text], { raw: [text] }));
};

function winner(...sheets: readonly SheetSource[]): string | undefined {
  const part = readSheets(bound, sheets).sheets.find((s) => s.part.path === 'layers.1.mlp.up');
  const setting = part?.settings.get('precision.weights');
  return setting && showSheetValue(setting.value);
}

const rule = fc.record({
  selector: fc.constantFrom(...selectors),
  type: fc.constantFrom('f32' as const, 'f16' as const, 'bf16' as const),
});
const rules = fc.array(rule, { minLength: 1, maxLength: 6 });
const weight = ({ selector }: Rule): number => 10 * selector.names + selector.rest;
const times = { numRuns: 60 };

test('the heaviest rule wins, the last of the heaviest', () => {
  fc.assert(
    fc.property(rules, (all) => {
      const most = Math.max(...all.map(weight));
      expect(winner(sheetOf(all))).toBe(all.filter((r) => weight(r) === most).at(-1)?.type);
    }),
    times,
  );
});

test('one sheet of all rules is as many sheets of one', () => {
  fc.assert(
    fc.property(rules, (all) => {
      expect(winner(...all.map((r) => sheetOf([r])))).toBe(winner(sheetOf(all)));
    }),
    times,
  );
});

test('the order of rules of different weight means nothing', () => {
  const different = fc.uniqueArray(rule, { minLength: 2, maxLength: 6, selector: weight });
  const orders = different.chain((all) =>
    fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
  );
  fc.assert(
    fc.property(orders, ([all, shuffled]) => {
      expect(winner(sheetOf(shuffled))).toBe(winner(sheetOf(all)));
    }),
    times,
  );
});
