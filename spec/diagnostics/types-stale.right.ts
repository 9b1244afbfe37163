import { bind, model } from 'cograph';
import type { TinyParams } from './types-stale.right.types.ts';

const tiny = model<TinyParams>`
  tiny(ids: i32 [t]; vocab: int, width: int) -> [t, vocab] {
    weight embed: [vocab, width]
    return embed[ids] @ embed.T
  }
`;

export default bind(tiny, { params: { vocab: 8, width: 4 } });
