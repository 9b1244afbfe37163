import { block } from 'cograph';

export default block`
  f(q: [t, 8, n], kv: [t, 3, n]) -> [t, 8, n] {
    return attend(q, kv, kv)
  }
`;
