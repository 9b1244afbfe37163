/** Accelerators of NVIDIA. Dense rates, without sparsity. */
import type { Hardware } from '../../compiler/index.ts';

export const h100: Hardware = {
  kind: 'hardware',
  name: 'H100 SXM',
  rates: { bf16: 989e12, f16: 989e12, f8: 1979e12, i8: 1979e12, f32: 67e12 },
  bandwidth: 3.35e12,
  capacity: 80e9,
  source: 'NVIDIA H100 Tensor Core GPU data sheet',
};

export const h200: Hardware = {
  ...h100,
  name: 'H200 SXM',
  bandwidth: 4.8e12,
  capacity: 141e9,
  source: 'NVIDIA H200 Tensor Core GPU data sheet',
};
