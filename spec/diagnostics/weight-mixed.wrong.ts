import { model } from 'cograph';

export const tensors = {
  embed: ['F32', [8, 4]],
  'layers.0.gain': ['F32', [4]],
  'layers.1.gain': ['F16', [4]],
};
export default model`
  m(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 4]
    x = embed[ids]
    repeat layers[l: 2] {
      weight gain: [4]
      x = x * gain
    }
    return x @ embed.T
  }
`;
