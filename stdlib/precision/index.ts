/** Schemes that checkpoints come in and that sheets name. */
export {
  e2m1,
  ggmlTypes,
  iq4_nl,
  iq4_xs,
  mxfp4,
  q2_k,
  q3_k,
  q4_0,
  q4_1,
  q4_k,
  q5_0,
  q5_1,
  q5_k,
  q6_k,
  q8_0,
} from './gguf.ts';
export { awq, fp8, fp8Blocks, gptq, int4, int8 } from './matrix.ts';
