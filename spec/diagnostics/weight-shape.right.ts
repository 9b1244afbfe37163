import { model } from 'cograph';

export const tensors = { embed: ['F32', [8, 4]] };
export default model`
  m(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 4]
    return embed[ids] @ embed.T
  }
`;
