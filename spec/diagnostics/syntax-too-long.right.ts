import { block } from 'cograph';

const times = 20;
const text = `f(x: [t, n]) -> [t, n] {
  return x${' + x'.repeat(times)}
}`;
export default block(Object.assign([text], { raw: [text] }));
