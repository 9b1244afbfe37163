/** Steps of wasm in this thread, over memory that a test has laid out. */
import { emitWasm, assembleWasm } from '../../compiler/7-emit/wasm.ts';
import { control } from '../../runtime/manifest.ts';
import type { StepRunner } from './kernel-run.ts';

const controlBytes = 4096;

/** Runs steps as a module without threads. */
export function wasmRunner(relaxed: boolean): StepRunner {
  let built: Promise<WebAssembly.Module> | undefined;
  return async (program, m, { t, r, blocks }) => {
    built ??= assembleWasm(
      emitWasm(program, { threads: false, relaxed, memory64: false }),
      program.name,
    ).then((bytes) => WebAssembly.compile(new Uint8Array(bytes)));
    const module = await built;
    const { weights, state, arena, slots, step } = m;
    const bytes = new Uint8Array(m.memory.buffer);
    const scratch = Math.ceil((controlBytes + bytes.byteLength) / 64) * 64;
    const end = scratch + program.memory.scratchBytes + 64;
    const memory = new WebAssembly.Memory({ initial: Math.ceil(end / 65_536) });
    const image = new Uint8Array(memory.buffer);
    image.set(bytes, controlBytes);
    const words = new Uint32Array(memory.buffer);
    Object.entries({ t, r, blocks, threads: 1, slots }).forEach(([k, v]) => {
      words[control[k as 'threads']] = v;
    });
    const at = (address: number): number => controlBytes + address;
    words[control.weights] = at(weights);
    words[control.state] = at(state);
    words[control.arena] = at(arena);
    words[control.scratch] = scratch;
    words[control.scratchBytes] = program.memory.scratchBytes;
    for (const [field, { address }] of step) words[control[field as 'ids']] = at(address);
    const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
    (exports['step'] as (thread: number) => void)(0);
    bytes.set(image.subarray(controlBytes, controlBytes + bytes.byteLength));
  };
}
