import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    x = x * x
    return x
  }
`;
