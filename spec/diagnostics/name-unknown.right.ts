import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    hidden = x * x
    return hidden
  }
`;
