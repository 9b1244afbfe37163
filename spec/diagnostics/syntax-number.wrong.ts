import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    y = x + 1e-
    return y
  }
`;
