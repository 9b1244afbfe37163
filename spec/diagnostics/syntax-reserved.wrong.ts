import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    then = x + x
    return x * x
  }
`;
