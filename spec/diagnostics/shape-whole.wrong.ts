import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    weight w: [7 / 2, n]
    return sum(x @ w.T) * x
  }
`;
