import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    windows = [4, 8]
    return x * windows[1]
  }
`;
