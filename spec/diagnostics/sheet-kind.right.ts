import { bind, model, precision } from 'cograph';

const tiny = model`
  tiny(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 4], out: [8, 4]
    return embed[ids] @ out.T
  }
`;

export default bind(tiny, { sheets: [precision`:linear { weights: f16 }`] });
