import { block } from 'cograph';

export default block`
  f(x: [t, n]; flip: bool) -> [t, n] {
    if flip {
      x = -x
    }
    return x
  }
`;
