/** CPUs of laptops. */
import type { Hardware } from '../../compiler/index.ts';

/** Eight cores with AVX2, two channels of DDR5-5600. */
export const laptopCpu: Hardware = {
  kind: 'hardware',
  name: 'laptop CPU',
  rates: { f32: 0.8e12, i8: 3e12 },
  bandwidth: 89.6e9,
  capacity: 16e9,
  source:
    'estimate: bandwidth is two channels of 5600 MT/s of 8 bytes, rates are 8 cores at an assumed 3.2 GHz',
};
