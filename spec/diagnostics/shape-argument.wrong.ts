import { block } from 'cograph';

const square = block`
  square(x: [t, n], y: [t, n]) -> [t, n] {
    return x * y
  }
`;

export default block`
  f(x: [t, n], y: [t, m]) -> [t, n] {
    return ${square}(x, y)
  }
`;
