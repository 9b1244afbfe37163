import { block } from 'cograph';

const linear = block`
  linear(x: [t, n]) -> [t, n] {
    weight w: [n, n]
    return x @ w.T
  }
`;

export default block`
  f(x: [t, n]) -> [t, n] {
    return ${linear}(x)
  }
`;
