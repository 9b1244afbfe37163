import { model } from 'cograph';

export default model`
  m(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 4]
    x = embed[ids]
    repeat outer[i: 10] {
      repeat inner[j: 4] {
        x = x * (i * 0.5 + j)
      }
    }
    return x @ embed.T
  }
`;
