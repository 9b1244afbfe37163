import { block } from 'cograph';

const inner = block`
  inner(x: [t, 4, 8], docs: [t]; mask: fn) -> [t, 4, 8] {
    return attend(x, x, x, mask = |i, j| mask(i, j) and docs[i] == docs[j])
  }
`;
export default block`
  outer(x: [t, 4, 8], docs: [t]) -> [t, 4, 8] {
    return ${inner}(x, docs, mask = |i, j| i - j < 64)
  }
`;
