import { block } from 'cograph';

export default block`
  f(x: [t, heads * width]; heads: int, width: int) -> [t, width] {
    y = x as [t, heads, width]
    return sum(y, axis = 1) as [t, width]
  }
`;
