/** Machines with many CPU cores and wide memory. */
import type { Hardware } from '../../compiler/index.ts';

/** Two sockets of 56 cores with AVX-512 and AMX, eight channels of DDR5-4800 each. */
export const x86Server: Hardware = {
  kind: 'hardware',
  name: 'x86 server',
  rates: { f32: 9e12, bf16: 140e12, i8: 280e12 },
  bandwidth: 614e9,
  capacity: 1024e9,
  source:
    'estimate: bandwidth is 16 channels of 4800 MT/s of 8 bytes, rates are cores by lanes by an assumed clock of 2.5 GHz',
};
