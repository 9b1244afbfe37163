import { model } from 'cograph';

export default model`
  m(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 4]
    return embed[ids] @ embed.T
  }
`;
