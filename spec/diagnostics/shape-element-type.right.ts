import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    return cast(positions as [t, 1], to = "f32") * x
  }
`;
