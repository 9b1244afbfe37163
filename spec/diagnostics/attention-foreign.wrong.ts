import { block } from 'cograph';

const inner = block`
  inner(x: [t, 4, 8]; mask: fn) -> [t, 4, 8] {
    return attend(x, x, x, mask = mask)
  }
`;
export default block`
  outer(x: [t, 4, 8], kinds: [t, 9]) -> [t, 4, 8] {
    return ${inner}(x, mask = |i, j| argmax(kinds)[i, 0] == argmax(kinds)[j, 0])
  }
`;
