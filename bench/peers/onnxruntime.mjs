/**
 * ONNX Runtime as a process that measures on request (`protocol.mjs`):
 * `node onnxruntime.mjs '{"path":"model.onnx","threads":1,"width":1024}'`. The model is the matrices of a
 * decoder alone: a token is one run, a prompt is one run over its rows.
 */
import ort from 'onnxruntime-node';
import { serve, stopwatch } from './protocol.mjs';

const { path, threads, width } = JSON.parse(process.argv[2]);
let session;

const rowsOf = (count) => {
  const data = Float32Array.from({ length: count * width }, (_, i) => Math.sin(i * 0.37));
  return { x: new ort.Tensor('float32', data, [count, width]) };
};

await serve({
  async open() {
    const from = performance.now();
    session = await ort.InferenceSession.create(path, {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'all',
    });
    return { seconds: (performance.now() - from) / 1000 };
  },
  async prefill({ tokens }) {
    const input = rowsOf(tokens);
    const watch = stopwatch();
    const { logits } = await session.run(input);
    watch.tokens();
    if (!logits.data.every(Number.isFinite)) throw new Error('logits are not finite');
    return watch.prefill(tokens);
  },
  async decode({ tokens }) {
    const input = rowsOf(1);
    await session.run(input);
    const watch = stopwatch();
    watch.tokens();
    for (let i = 0; i < tokens; i++) {
      await session.run(input);
      watch.tokens();
    }
    return watch.decode();
  },
});
