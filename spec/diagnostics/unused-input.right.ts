import { block } from 'cograph';

export default block`
  f(x: [t, n], y: [t, n]) -> [t, n] {
    return x * y
  }
`;
