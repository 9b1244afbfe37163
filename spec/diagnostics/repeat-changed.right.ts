import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    repeat layers[l: 2] {
      weight w: [n, n]
      x = x @ w.T
    }
    return x
  }
`;
