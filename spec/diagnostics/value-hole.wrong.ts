import { block } from 'cograph';

const depth = 0;
export default block`
  f(x: [t, n]) -> [t, n] {
    return x * ${1 / depth}
  }
`;
