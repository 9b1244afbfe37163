import { block } from 'cograph';

const levels = 300;
const text = `f(x: [t, n]) -> [t, n] {
  return ${'('.repeat(levels)}
    x
  ${')'.repeat(levels)}
}`;
export default block(Object.assign([text], { raw: [text] }));
