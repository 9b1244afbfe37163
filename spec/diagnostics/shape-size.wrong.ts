import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    weight gain: [0]
    return x * gain
  }
`;
