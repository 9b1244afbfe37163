import { block } from 'cograph';

export default block`
  masked(q: [t, 4, 8], k: [t, 4, 8], v: [t, 4, 8], gate: [t, 4]) -> [t, 4, 8] {
    return attend(q, k, v, score = |s, i, j, h| s + gate[j, h, 0])
  }
`;
