import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    return x
    x = x * x
  }
`;
