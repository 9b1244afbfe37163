import { block } from 'cograph';

export default block`
  masked(q: [t, 4, 8], k: [t, 4, 8], v: [t, 4, 8], kind: [t, 4]) -> [t, 4, 8] {
    return attend(q, k, v, mask = |i, j| kind[i, 4] == kind[j, 4])
  }
`;
