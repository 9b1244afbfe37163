import { type Template, bind, model } from 'cograph';

const tiny: Template = model<{ vocab: number }>`
  tiny(ids: i32 [t]; vocab: int, width: int) -> [t, vocab] {
    weight embed: [vocab, width]
    return embed[ids] @ embed.T
  }
`;

export default bind(tiny, { params: { vocab: 8, width: 4 } });
