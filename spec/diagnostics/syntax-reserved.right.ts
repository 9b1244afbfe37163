import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    z = x + x
    return x * z
  }
`;
