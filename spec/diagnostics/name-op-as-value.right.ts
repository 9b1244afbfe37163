import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    act = silu(x)
    return x * act
  }
`;
