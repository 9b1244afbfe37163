import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    weight w: [n] from "scale
    return x * w
  }
`;
