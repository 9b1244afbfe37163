import { block } from 'cograph';

export default block`
  f(x: [t, n]; kind: int) -> [t, n] {
    if kind = 2 { x = x + x }
    return x
  }
`;
