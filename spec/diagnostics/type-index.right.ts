import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    weight table: [8, n]
    return table[argmax(x) as [t]]
  }
`;
