/** Models as the page shows them. */
import { deepseekV3 } from '../../bench/check-time.ts';
import { makeLog } from '../../compiler/base/diagnostic.ts';
import { readSheets } from '../../compiler/compile.ts';
import { checkModel } from '../../compiler/2-model/check.ts';
import type { Model } from '../../compiler/2-model/model.ts';
import type { Setting } from '../../compiler/2-model/sheets.ts';
import { type BoundModel, bind, block, model, place, precision } from '../../compiler/index.ts';
import type { ViewData } from '../../compiler/view/data.ts';
import { viewModel } from '../../compiler/view/scopes.ts';
import { h100, q4_0 } from '../../stdlib/index.ts';

export function checked(bound: BoundModel): Model {
  const model = checkModel(bound, makeLog());
  if (!model) throw new Error('does not check');
  return model;
}

export const dataOf = (bound: BoundModel): ViewData => viewModel(checked(bound), { context: 512 });

const dense = block`
  dense(x: [t, d]; inner: int) -> [t, d] {
    weight up: [inner, d], down: [d, inner]
    return (x @ up.T) @ down.T
  }
`;

/** `mlp` is called twice in a layer, `outer` in each layer and behind them. */
export const twice = bind(
  model`
  twice(ids: i32 [t]) -> [t, 10] {
    weight embed: [10, 4]
    use outer = ${dense}(inner = 5)
    x = embed[ids]
    repeat layers[l: 3] {
      use mlp = ${dense}(inner = 7)
      x = mlp(mlp(outer(x)))
    }
    return outer(x) @ embed.T
  }
`,
);

/** DeepSeek-V3 as it could run: experts of four bits, of which the upper layers' are elsewhere. */
export const small = deepseekV3().with(
  precision`
    ** { weights: bf16 }
    :experts { weights: ${q4_0} }
  `,
  place`
    group gpu = ${h100}
    ** { on: gpu }
    layers[31..].moe { on: auto }
  `,
);
export const ruled = (bound: BoundModel): ViewData => {
  const { model: read, sheets } = readSheets(bound);
  const ruleOf = ({ selector: { source, start, end } }: Setting) => source.text.slice(start, end);
  return viewModel(read, { context: 512, sheets: { resolved: sheets, ruleOf } });
};
