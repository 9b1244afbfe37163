import { bind, model } from 'cograph';

const small = bind(model`
  small(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 4], gain: [4]
    x = embed[ids]
    repeat layers[l: 4] {
      weight w: [4, 4], out: [4, 4]
      x = x + (x @ w.T) @ out.T
    }
    weight head: [8, 4]
    return (x * gain) @ head.T
  }
`);

export default small.lora('layers.w', { rank: 2, alpha: 4 });
