import { block } from 'cograph';

export default block`
  f(x: [t, n]; m: int) -> [t, m] {
    weight w: [m, n]
    return x @ w
  }
`;
