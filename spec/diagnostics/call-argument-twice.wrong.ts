import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    return mean(x, axis = -1, axis = 1) * x
  }
`;
