import { model } from 'cograph';

export const tensors = {
  'rows.0': ['F32', [4]],
  'rows.1': ['F16', [4]],
};
export default model`
  m(ids: i32 [t]) -> [t, 2] {
    weight embed: [2, 4] from "rows.*"
    return embed[ids] @ embed.T
  }
`;
