import { block } from 'cograph';

export default block`
  f(x: [t, 12]) -> [t, 12] {
    return reshape(reshape(x, [0, 3, 4]), [0, 12])
  }
`;
