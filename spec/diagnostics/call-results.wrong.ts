import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    values = top_k(x, 2)
    return x * values[0]
  }
`;
