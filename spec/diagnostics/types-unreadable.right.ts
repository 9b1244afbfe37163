import { bind, model } from 'cograph';

interface Sizes {
  readonly vocab: number;
  readonly width: number;
}

const tiny = model<Sizes>`
  tiny(ids: i32 [t]; vocab: int, width: int) -> [t, vocab] {
    weight embed: [vocab, width]
    return embed[ids] @ embed.T
  }
`;

export default bind(tiny, { params: { vocab: 8, width: 4 } });
