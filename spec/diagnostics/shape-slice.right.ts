import { block } from 'cograph';

export default block`
  f(x: [t, 8]) -> [t, 4] {
    return slice(x, 4, 8)
  }
`;
