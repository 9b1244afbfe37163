/** Schemes that checkpoints come in and that sheets name. */
export { e2m1, ggmlTypes, mxfp4, q4_0, q4_k, q6_k, q8_0 } from './gguf.ts';
export { awq, fp8, fp8Blocks, gptq, int4, int8 } from './matrix.ts';
