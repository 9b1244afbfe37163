import { block } from 'cograph';

export default block`
  f(x: [t, 4]) -> [t, 1] {
    values, ids = top_k(x, 3)
    return sum(values)
  }
`;
