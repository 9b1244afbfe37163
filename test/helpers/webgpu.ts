/** WebGPU in Node, for tests: the package and a driver, as far as they are there. */
import { existsSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bindProgram } from '../../compiler/7-emit/wgsl-bindings.ts';
import { emitWgsl, gpuStep } from '../../compiler/7-emit/wgsl.ts';
import type { Program } from '../../compiler/6-program/program.ts';
import { gpuSizes } from '../../runtime/manifest.ts';
import { findAdapter, openDevice } from '../../runtime/webgpu/adapter.ts';
import { makeBuffers, uniformWords } from '../../runtime/webgpu/buffers.ts';
import { makeCommands } from '../../runtime/webgpu/commands.ts';
import { mapForReading } from '../../runtime/webgpu/constants.ts';
import { limitsFor, sizesOf } from '../../runtime/webgpu/sizes.ts';
import type { StepRunner } from './kernel-run.ts';

/** Where `scripts/ensure.mjs --webgpu` puts what it installs. */
const folder = fileURLToPath(new URL('../../.cache/webgpu/', import.meta.url));
const driver = `${folder}lavapipe/lvp_icd.json`;

/** The package's door, beside the project's own packages or in the cache. */
function packagePath(): string | undefined {
  const places = [fileURLToPath(new URL('../../node_modules/webgpu', import.meta.url)), `${folder}node_modules/webgpu`]; // prettier-ignore
  return places.map((p) => `${p}/index.js`).find((p) => existsSync(p));
}

async function open(): Promise<GPU | string> {
  const path = packagePath();
  if (path === undefined) return 'the package webgpu';
  // A machine with a GPU has a driver of its own; this one says so.
  if (process.env['VK_ICD_FILENAMES'] === undefined && existsSync(driver))
    process.env['VK_ICD_FILENAMES'] = driver;
  const { create } = (await import(pathToFileURL(path).href)) as {
    create(options: readonly string[]): GPU;
  };
  const gpu = create([]);
  return (await gpu.requestAdapter()) ? gpu : 'a driver for Vulkan';
}

const found = await open();
export const gpu: GPU | undefined = typeof found === 'string' ? undefined : found;
/** For the name of a test: why it is skipped. */
export const note = typeof found === 'string' ? ` (skipped without ${found})` : '';

export const wgslOf = (program: Program, dot4: boolean, most?: number): string =>
  emitWgsl(program.name, bindProgram(program, most), { dot4 });

/** Buffers of a step that are made from memory and read back into it. */
interface Copied {
  readonly buffer: GPUBuffer;
  readonly at: number;
  readonly bytes: number;
}

/**
 * Runs steps of a program on the GPU, each in buffers of its own that begin as the memory is. `most`: bytes of
 * the largest binding.
 */
export function webgpuRunner(dot4 = false, most?: number): StepRunner {
  return async (program, m, { t, r, blocks }) => {
    if (!gpu) throw new Error('no WebGPU');
    const { memory: plan, limits, output } = program;
    const step = { ...gpuStep(bindProgram(program, most)), variants: [] };
    const webgpu = { ...step, limits, arenaBytes: plan.arenaBytes, scratchBytes: 0, output };
    const manifest = {
      cache: { block: m.slots, bytesPerSlot: plan.stateBytesPerSlot, states: program.states },
      weights: { bytes: plan.weightBytes, shards: [], parts: [] },
    };
    const one = { sequences: 1, blocksPerSequence: blocks, blocks: 1, block: m.slots };
    const sizes = sizesOf(manifest, webgpu, { ...limits, ...one, vocab: output.width }, 2 ** 28);
    const device = await openDevice(await findAdapter(gpu), limitsFor(webgpu, sizes));
    const wrong: string[] = [];
    device.onuncapturederror = (e) => void wrong.push(e.error.message);
    try {
      const words = new Int32Array(uniformWords);
      const sized = { t, r, blocks, infinity: 0x7f800000 };
      const arrays: number[] = [];
      gpuSizes.forEach((name, i) => {
        words[i] = name in sized ? sized[name as keyof typeof sized] : arrays.length;
        const array = m.step.get(name);
        for (let at = 0; array && at < array.bytes; at += 4)
          arrays.push(m.memory.getInt32(array.address + at, true));
      });
      const made = await makeBuffers(device, manifest, sizes, 16);
      const stepBuffer = device.createBuffer({
        size: Math.max(16, 4 * arrays.length),
        usage: 0x88,
      });
      const buffers = { ...made, step: stepBuffer };
      const commands = await makeCommands(device, webgpu, wgslOf(program, dot4, most), buffers);
      const kept: Copied[] = [
        { buffer: buffers.arena, at: m.arena, bytes: plan.arenaBytes },
        ...program.states.flatMap((s, n) =>
          (buffers.states[n] ?? []).map((buffer, i) => ({
            buffer,
            at: m.state + (s.offset + i * s.stride) * m.slots,
            bytes: s.bytes * m.slots,
          })),
        ),
      ];
      const read = buffers.weights.map(({ buffer, from, to }) => ({
        buffer,
        at: m.weights + from,
        bytes: to - from,
      }));
      const memory = new Uint8Array(m.memory.buffer);
      for (const { buffer, at, bytes } of [...kept, ...read]) {
        const whole = new Uint8Array(Math.ceil(bytes / 4) * 4);
        whole.set(memory.subarray(at, at + bytes));
        device.queue.writeBuffer(buffer, 0, whole);
      }
      device.queue.writeBuffer(stepBuffer, 0, new Int32Array(arrays));
      device.queue.writeBuffer(buffers.uniform, 0, words);
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      commands.encode(pass, { t, r, blocks });
      pass.end();
      device.queue.submit([encoder.finish()]);
      for (const { buffer, at, bytes } of kept) {
        const out = device.createBuffer({ size: Math.ceil(bytes / 4) * 4, usage: 0x9 });
        const copy = device.createCommandEncoder();
        copy.copyBufferToBuffer(buffer, 0, out, 0, out.size);
        device.queue.submit([copy.finish()]);
        await out.mapAsync(mapForReading);
        memory.set(new Uint8Array(out.getMappedRange()).subarray(0, bytes), at);
        out.destroy();
      }
      if (wrong.length > 0) throw new Error(wrong.join('\n'));
    } finally {
      device.destroy();
    }
  };
}

/** An object whose methods run on the real one: what comes of a proxy must not be `this` for native code. */
const around = <T extends object>(real: T, change: (name: string, value: unknown) => unknown): T =>
  new Proxy(real, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      const own = typeof value === 'function' ? (value.bind(target) as unknown) : value;
      return change(String(name), own);
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });

type Call = (...args: readonly unknown[]) => unknown;

const adapted = (change: (adapter: GPUAdapter) => GPUAdapter): GPU => {
  if (!gpu) throw new Error('no WebGPU');
  return around(gpu, (name, value) =>
    name === 'requestAdapter'
      ? async (...args: readonly unknown[]) =>
          change((await (value as Call)(...args)) as GPUAdapter)
      : value,
  );
};

/** WebGPU that counts what is made and submitted, and tells the devices it gave. */
export function counting() {
  const counts = new Map<string, number>();
  const devices: GPUDevice[] = [];
  const counted = (name: string, value: unknown): unknown =>
    /^(create|submit|writeBuffer)/.test(name)
      ? (...args: readonly unknown[]) => {
          counts.set(name, (counts.get(name) ?? 0) + 1);
          return (value as Call)(...args);
        }
      : value;
  const on = adapted((adapter) =>
    around(adapter, (name, value) =>
      name !== 'requestDevice'
        ? value
        : async (...args: readonly unknown[]) => {
            const device = (await (value as Call)(...args)) as GPUDevice;
            devices.push(device);
            const queue = around(device.queue, counted);
            return around(device, (n, v) => (n === 'queue' ? queue : counted(n, v)));
          },
    ),
  );
  return { on, counts, devices };
}

/** WebGPU whose adapter has less of some limits. */
export const limited = (limits: Readonly<Record<string, number>>): GPU =>
  adapted((adapter) =>
    around(adapter, (name, value) =>
      name === 'limits' ? around(adapter.limits, (limit, own) => limits[limit] ?? own) : value,
    ),
  );
