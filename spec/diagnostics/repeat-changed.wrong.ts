import { block } from 'cograph';

export default block`
  f(x: [t, n]; m: int) -> [t, m] {
    repeat layers[l: 2] {
      weight w: [m, n]
      x = x @ w.T
    }
    return x
  }
`;
