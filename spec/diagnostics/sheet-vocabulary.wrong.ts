import { bind, decode, model } from 'cograph';
import { draft } from 'cograph/stdlib';

const tiny = model`
  tiny(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 4], out: [8, 4]
    return embed[ids] @ out.T
  }
`;

export default bind(tiny, {
  sheets: [decode`** { speculate: ${draft({ vocabulary: 16, guesses: 4 })} }`],
});
