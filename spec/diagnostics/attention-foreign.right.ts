import { block } from 'cograph';

const inner = block`
  inner(x: [t, 4, 8]; mask: fn) -> [t, 4, 8] {
    return attend(x, x, x, mask = mask)
  }
`;
export default block`
  outer(x: [t, 4, 8], kinds: [t, 9]) -> [t, 4, 8] {
    kind = argmax(kinds)
    return ${inner}(x, mask = |i, j| kind[i, 0] == kind[j, 0])
  }
`;
