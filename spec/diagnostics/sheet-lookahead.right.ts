import { bind, block, model } from 'cograph';

const experts = block`
  experts(x: [t, d]) -> [t, d] {
    weight gate: [4, d], up: [4, d, d]
    share, chosen = top_k(x @ gate.T, k = 2)
    return sum(grouped(x, up, chosen) * (share as [t, 2, 1]), axis = 1) as [t, d]
  }
`;
const tiny = model`
  tiny(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 4], out: [8, 4]
    use moe = ${experts}()
    return moe(embed[ids]) @ out.T
  }
`;

export default bind(tiny);
