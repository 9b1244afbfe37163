import { block } from 'cograph';

export default block`
  f(x: [t, 2, 4]) -> [t, 2, 4] {
    cos, sin = angles(positions, [1, 0.1])
    return rotate(x, cos, sin, pairing = "half")
  }
`;
