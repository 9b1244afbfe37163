import { model } from 'cograph';

export default model`
  m(ids: i32 [t]) -> [t, 2, 4] {
    weight embed: [8, 4]
    return (embed[ids] @ embed.T) as [t, 2, 4]
  }
`;
