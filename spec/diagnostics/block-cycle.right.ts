import { block } from 'cograph';

const again = block`
  again(x: [t, n]; inner: block) -> [t, n] {
    return inner(inner(x))
  }
`;
const square = block`
  square(x: [t, n]) -> [t, n] {
    return x * x
  }
`;
export default block`
  f(x: [t, n]) -> [t, n] {
    return ${again}(x, inner = ${square})
  }
`;
