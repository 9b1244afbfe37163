import { block } from 'cograph';

export default block`
  f(x: [t, n]; factor: real) -> [t, n] {
    double = 2 * factor
    return double * x
  }
`;
