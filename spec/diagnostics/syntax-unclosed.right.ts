import { block } from 'cograph';

export default block`
  f(x: [t, n]; twice: bool) -> [t, n] {
    if twice {
      x = x + x
    }
    return x
  }
`;
