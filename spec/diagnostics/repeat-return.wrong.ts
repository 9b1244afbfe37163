import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    repeat layers[l: 2] {
      return x * x
    }
    return x
  }
`;
