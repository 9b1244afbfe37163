import { bind, block, model } from 'cograph';

const causal = block`
  causal(x: [t, 4, 8]) -> [t, 4, 8] {
    return attend(x, x, x)
  }
`;
export default bind(model`
  net(ids: i32[t]) -> [t, 32] {
    weight table: [16, 32]
    use first = ${causal}()
    use second = ${causal}()
    return second(first(table[ids] as [t, 4, 8])) as [t, 32]
  }
`);
