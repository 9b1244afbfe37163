import { block } from 'cograph';

const square = block`
  square(x: [t, n]) -> [t, n] {
    return x * x
  }
`;

export default block`
  f(x: [t, n]) -> [t, n] {
    use square = ${square}()
    return x
  }
`;
