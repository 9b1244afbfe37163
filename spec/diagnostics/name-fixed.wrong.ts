import { block } from 'cograph';

export default block`
  f(x: [t, n]; factor: real) -> [t, n] {
    factor = 2 * factor
    return factor * x
  }
`;
