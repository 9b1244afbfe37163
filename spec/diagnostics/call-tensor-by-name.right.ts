import { block } from 'cograph';

const scale = block`
  scale(x: [t, n]; factor: real) -> [t, n] {
    return factor * x
  }
`;

export default block`
  f(x: [t, n]) -> [t, n] {
    return ${scale}(x, factor = 2)
  }
`;
