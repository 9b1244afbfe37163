import { block } from 'cograph';

export default block`
  f(x: [t, n], y: [t, m]) -> [t, n] {
    return x + y
  }
`;
