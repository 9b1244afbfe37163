import { block } from 'cograph';

export default block`
  f(t: [n, n]) -> [n, n] {
    return t * t
  }
`;
