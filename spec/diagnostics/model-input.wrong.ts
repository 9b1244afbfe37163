import { model } from 'cograph';

export default model`
  m(ids: [t, 4]) -> [t, 8] {
    weight embed: [8, 4]
    return ids @ embed.T
  }
`;
