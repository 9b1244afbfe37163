import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    return x * (cast(positions, to = "f32") as [t, 1])
  }
`;
