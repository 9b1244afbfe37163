import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    values, positions = top_k(x, 2)
    return x * max(values)
  }
`;
