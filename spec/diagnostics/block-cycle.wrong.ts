import { block } from 'cograph';

const again = block`
  again(x: [t, n]; inner: block) -> [t, n] {
    return inner(x, inner = inner)
  }
`;
export default block`
  f(x: [t, n]) -> [t, n] {
    return ${again}(x, inner = ${again})
  }
`;
