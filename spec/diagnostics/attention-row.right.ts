import { block } from 'cograph';

export default block`
  masked(q: [t, 4, 8], k: [t, 4, 8], v: [t, 4, 8], docs: [t]) -> [t, 4, 8] {
    return attend(q, k, v, mask = |i, j| docs[i] == docs[j])
  }
`;
