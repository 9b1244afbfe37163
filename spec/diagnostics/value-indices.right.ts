import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    table = [[1, 2], [3, 4]]
    return x * table[0][1]
  }
`;
