import { block } from 'cograph';

export default block`
  f(x: [t, n]; factor: real) -> [t, n] {
    return factor * x
  }
`;
