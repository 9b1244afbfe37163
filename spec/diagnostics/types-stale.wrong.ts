import { type Template, bind, model } from 'cograph';
import type { TinyParams } from './types-stale.wrong.types.ts';

const tiny: Template = model<TinyParams>`
  tiny(ids: i32 [t]; vocab: int, width: int) -> [t, vocab] {
    weight embed: [vocab, width]
    return embed[ids] @ embed.T
  }
`;

export default bind(tiny, { params: { vocab: 8, width: 4 } });
