/** Neural processors of phones. */
import type { Hardware } from '../../compiler/index.ts';

/** An NPU beside four channels of LPDDR5X, of whose memory the system leaves a part. */
export const phoneNpu: Hardware = {
  kind: 'hardware',
  name: 'phone NPU',
  rates: { f16: 15e12, i8: 30e12 },
  bandwidth: 68e9,
  capacity: 8e9,
  source:
    'estimate: bandwidth is 64 bits of LPDDR5X-8533, rates are of the order that vendors give for phones of 2024',
};
