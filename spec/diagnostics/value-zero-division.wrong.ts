import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    layers = 4
    return x * (layers / 0)
  }
`;
