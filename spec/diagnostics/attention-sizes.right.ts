import { block } from 'cograph';

export default block`
  masked(q: [t, 4, 8], k: [t, 4, 8], v: [t, 4, 8], a: [t, 16], b: [t, 16]) -> [t, 4, 8] {
    return attend(q, k, v, score = |s, i, j| s + dot(a[i], b[j]))
  }
`;
