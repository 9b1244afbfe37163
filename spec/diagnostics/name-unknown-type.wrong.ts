import { block } from 'cograph';

export default block`
  f(x: [t, n]; factor: float) -> [t, n] {
    return factor * x
  }
`;
