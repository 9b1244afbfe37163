import { bind, model, precision } from 'cograph';
import { fp8 } from 'cograph/stdlib';

const tiny = model`
  tiny(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 4], out: [8, 4]
    return embed[ids] @ out.T
  }
`;

export default bind(tiny, { sheets: [precision`out { weights: ${fp8} }`] });
