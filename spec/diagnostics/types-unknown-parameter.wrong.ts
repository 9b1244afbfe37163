import { bind, model } from 'cograph';

const tiny = model<{ vocab: number; width: number; widht?: number }>`
  tiny(ids: i32 [t]; vocab: int, width: int) -> [t, vocab] {
    weight embed: [vocab, width]
    return embed[ids] @ embed.T
  }
`;

export default bind(tiny, { params: { vocab: 8, width: 4 } });
