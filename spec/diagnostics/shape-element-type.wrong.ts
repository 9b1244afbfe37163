import { block } from 'cograph';

export default block`
  f(x: [t, n]) -> [t, n] {
    return (positions as f32 [t, 1]) * x
  }
`;
