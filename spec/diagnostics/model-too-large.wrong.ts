import { model } from 'cograph';

export default model`
  m(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 4]
    x = embed[ids]
    repeat outer[i: 1000] {
      repeat inner[j: 1000] {
        x = x * (i * 0.5 + j)
      }
    }
    return x @ embed.T
  }
`;
