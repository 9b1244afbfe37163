/** The target `webgpu`: weights and cache in buffers of a GPU, a step as one list of commands. */
import { type Executor, type ExecutorLimits, type ExecutorOptions, type StepBatch, emptyBatch } from '../device.ts'; // prettier-ignore
import { DeviceError } from '../errors.ts';
import type { BundleFiles } from '../files.ts';
import { type Manifest, type WebGpuProgram, gpuSizes } from '../manifest.ts';
import type { LoadOptions } from '../options.ts';
import { findAdapter, findGpu, openDevice } from './adapter.ts';
import { type Blocks, makeBlocks } from './blocks.ts';
import { type GpuBuffers, makeBuffers, uniformWords } from './buffers.ts';
import { type StepCommands, makeCommands } from './commands.ts';
import { mapForReading } from './constants.ts';
import { fillWeights } from './fill.ts';
import { type GpuSizes, limitsFor, sizesOf } from './sizes.ts';

/**
 * An executor for the bundle's WebGPU program, on the adapter of `options.gpu` or of what is found here.
 * Throws DeviceError: `device/webgpu` where there is none, `device/adapter` without a GPU (or, where the
 * target is not asked for by name, with one that is software), `device/limit` for one that is too small,
 * `device/memory` where its memory does not suffice.
 */
export async function openWebGpu(
  files: BundleFiles,
  sizes: ExecutorOptions,
  options: Pick<LoadOptions, 'gpu' | 'target' | 'onProgress' | 'signal'> = {},
): Promise<Executor> {
  const { manifest } = files;
  const program = manifest.programs.webgpu;
  if (!program) {
    throw new DeviceError(
      'device/target',
      'the bundle has no WebGPU program: compile it with --target webgpu',
    );
  }
  const gpu = options.gpu ?? (await findGpu());
  const adapter = await findAdapter(gpu);
  if (options.target !== 'webgpu' && adapter.info.isFallbackAdapter) {
    throw new DeviceError('device/adapter', 'the only GPU here is software');
  }
  const limits = executorLimits(manifest, program, sizes);
  const gpuSizesHere = sizesOf(manifest, program, limits, adapter.limits.maxBufferSize);
  const device = await openDevice(adapter, limitsFor(program, gpuSizesHere));
  const health = watch(device);
  try {
    const block = makeBlocks(manifest, limits);
    const buffers = await makeBuffers(device, manifest, gpuSizesHere, block.bytes);
    const dot4 = gpu.wgslLanguageFeatures.has('packed_4x8_integer_dot_product');
    const variant = program.variants.find((v) => dot4 || !v.dot4);
    if (!variant) throw new DeviceError('device/program', 'no variant of the program runs here');
    const code = new TextDecoder().decode(await files.read(variant.file));
    const commands = await makeCommands(device, program, code, buffers);
    await fillWeights(device, buffers, files, options);
    health.check();
    return makeGpuExecutor({ gpu, device, health, manifest, program, limits, sizes: gpuSizesHere, buffers, commands, block }); // prettier-ignore
  } catch (e) {
    health.close();
    device.destroy();
    throw e;
  }
}

function executorLimits(
  manifest: Manifest,
  program: WebGpuProgram,
  options: ExecutorOptions,
): ExecutorLimits {
  const { block } = manifest.cache;
  return {
    ...program.limits,
    sequences: options.sequences,
    blocksPerSequence: Math.ceil(options.context / block),
    blocks: Math.ceil(options.capacity / block),
    block,
    vocab: manifest.model.vocab,
  };
}

/** What goes wrong on the GPU outside of what is asked of it. */
interface Health {
  /** Throws DeviceError `device/lost` once the device is, `device/program` after a mistake in commands. */
  check(): void;
  /** What becomes of the device is expected from here on. */
  close(): void;
}

function watch(device: GPUDevice): Health {
  let closed = false;
  let failure: DeviceError | undefined;
  void device.lost.then(({ message, reason }) => {
    if (closed) return;
    failure = new DeviceError(
      'device/lost',
      `the GPU was lost (${message || reason}): load the model again`,
    );
  });
  device.onuncapturederror = ({ error }) => {
    failure ??= new DeviceError('device/program', `the GPU reports: ${error.message}`);
  };
  return {
    check() {
      if (failure) throw failure;
    },
    close() {
      closed = true;
    },
  };
}

interface Parts {
  readonly gpu: GPU;
  readonly device: GPUDevice;
  readonly health: Health;
  readonly manifest: Manifest;
  readonly program: WebGpuProgram;
  readonly limits: ExecutorLimits;
  readonly sizes: GpuSizes;
  readonly buffers: GpuBuffers;
  readonly commands: StepCommands;
  readonly block: Blocks;
}

function makeGpuExecutor(parts: Parts): Executor {
  const { device, health, program, limits, sizes, buffers, commands, block } = parts;
  const { queue } = device;
  const { rowBytes, offset: resultAt, width } = program.output;
  const batch = emptyBatch(limits);
  const arrays = new Int32Array(sizes.keysAt);
  const keys = new Int32Array(sizes.stepWords - sizes.keysAt);
  const words = new Int32Array(uniformWords);
  const wordOf = new Map(gpuSizes.map((name, i) => [name, i]));
  const put = (name: (typeof gpuSizes)[number], value: number): void => {
    words[wordOf.get(name) ?? 0] = value;
  };
  put('blocks', limits.blocksPerSequence);
  put('infinity', 0x7f800000);
  put('keys', sizes.keysAt);
  const results = new Float32Array((limits.rows * rowBytes) / 4);
  const rows = Array.from({ length: limits.rows }, (_, r) =>
    results.subarray((r * rowBytes) / 4, (r * rowBytes) / 4 + width),
  );
  /** Gone once closed. Until then it is held: in Node nothing is answered once it is collected. */
  let gpu: GPU | undefined = parts.gpu;
  /** Blocks are read one at a time: they go out through one buffer. */
  let reading: Promise<unknown> = Promise.resolve();

  const open = (): void => {
    if (!gpu) throw new DeviceError('device/closed', 'the model is closed: load it again');
    health.check();
  };

  /** The arrays of the step, one after the other: what it has of each, and no more. */
  function writeArrays(): void {
    const { tokens, wanted } = batch;
    let end = 0;
    let sequences = 0;
    for (let n = 0; n < tokens; n++) sequences = Math.max(sequences, (batch.sequence[n] ?? 0) + 1);
    const place = (name: keyof StepBatch & (typeof gpuSizes)[number], count: number): void => {
      put(name, end);
      const from = batch[name];
      for (let i = 0; i < count; i++) arrays[end + i] = from[i] ?? 0;
      end += count;
    };
    place('ids', tokens);
    place('sequence', tokens);
    place('position', tokens);
    place('slot', tokens);
    place('length', tokens);
    place('rows', wanted);
    place('table', sequences * limits.blocksPerSequence);
    put('t', tokens);
    put('r', wanted);
    queue.writeBuffer(buffers.step, 0, arrays, 0, end);
    queue.writeBuffer(buffers.uniform, 0, words);
    let [first, last] = [keys.length, -1];
    for (let n = 0; n < tokens; n++) {
      const slot = batch.slot[n] ?? 0;
      keys[slot] = batch.position[n] ?? 0;
      first = Math.min(first, slot);
      last = Math.max(last, slot);
    }
    writeKeys(first, last + 1);
  }

  function writeKeys(from: number, to: number): void {
    if (from >= to) return;
    queue.writeBuffer(buffers.step, 4 * (sizes.keysAt + from), keys, from, to - from);
  }

  /** What a rejected promise of a GPU that is gone means. */
  async function orLost<T>(promise: Promise<T>): Promise<T> {
    try {
      return await promise;
    } catch (e) {
      open(); // says so if it was closed, or is lost and we have been told
      await Promise.resolve();
      open();
      throw new DeviceError('device/lost', `the GPU does not answer: ${String(e)}`);
    }
  }

  async function readBlock(n: number): Promise<Uint8Array> {
    open();
    const out = new Uint8Array(block.bytes);
    const { block: entries } = limits;
    const own = keys.slice(n * entries, (n + 1) * entries);
    if (block.stateBytes > 0) {
      const encoder = device.createCommandEncoder();
      block.pieces(buffers, n, (buffer, at, inBlock, size) =>
        encoder.copyBufferToBuffer(buffer, at, buffers.blockOut, inBlock, size),
      );
      queue.submit([encoder.finish()]);
      await orLost(buffers.blockOut.mapAsync(mapForReading, 0, block.stateBytes));
      out.set(new Uint8Array(buffers.blockOut.getMappedRange(0, block.stateBytes)));
      buffers.blockOut.unmap();
    }
    out.set(new Uint8Array(own.buffer), block.stateBytes);
    return out;
  }

  return {
    target: 'webgpu',
    threads: 1,
    limits,
    batch,
    blockBytes: block.bytes,
    memoryBytes: sizes.total,
    async step() {
      open();
      writeArrays();
      const { tokens: t, wanted: r } = batch;
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      commands.encode(pass, { t, r, blocks: limits.blocksPerSequence });
      pass.end();
      const bytes = r * rowBytes;
      if (bytes > 0)
        encoder.copyBufferToBuffer(buffers.arena, resultAt, buffers.readback, 0, bytes);
      queue.submit([encoder.finish()]);
      if (bytes === 0) await orLost(queue.onSubmittedWorkDone());
      else {
        await orLost(buffers.readback.mapAsync(mapForReading, 0, bytes));
        results.set(new Float32Array(buffers.readback.getMappedRange(0, bytes)));
        buffers.readback.unmap();
      }
      health.check();
    },
    logits(row) {
      open();
      const found = rows[row];
      if (!found || row >= batch.wanted)
        throw new DeviceError('device/row', `row ${row} of ${batch.wanted} wanted`);
      return found;
    },
    copyBlock(from, to) {
      open();
      const encoder = device.createCommandEncoder();
      // A buffer is not copied onto itself: by way of another one.
      block.pieces(buffers, from, (buffer, at, inBlock, size) =>
        encoder.copyBufferToBuffer(buffer, at, buffers.block, inBlock, size),
      );
      block.pieces(buffers, to, (buffer, at, inBlock, size) =>
        encoder.copyBufferToBuffer(buffers.block, inBlock, buffer, at, size),
      );
      queue.submit([encoder.finish()]);
      const { block: entries } = limits;
      keys.copyWithin(to * entries, from * entries, (from + 1) * entries);
      writeKeys(to * entries, (to + 1) * entries);
    },
    readBlock(n) {
      const read = reading.then(() => readBlock(n));
      reading = read.catch(() => undefined);
      return read;
    },
    writeBlock(n, data) {
      open();
      const bytes = new Uint8Array(data);
      block.pieces(buffers, n, (buffer, at, inBlock, size) =>
        queue.writeBuffer(buffer, at, bytes, inBlock, size),
      );
      const { block: entries } = limits;
      keys.set(new Int32Array(bytes.buffer, block.stateBytes, entries), n * entries);
      writeKeys(n * entries, (n + 1) * entries);
    },
    close() {
      if (!gpu) return;
      gpu = undefined;
      health.close();
      buffers.release();
      device.destroy();
    },
  };
}
