import { block } from 'cograph';

export default block`
  f(x: [t, n]; flip: bool) -> [t, n] {
    if x {
      x = -x
    }
    return x
  }
`;
