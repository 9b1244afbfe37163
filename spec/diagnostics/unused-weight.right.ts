import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    weight gain: [n]
    return x * gain
  }
`;
