/** All buffers of a loaded model: made once, at load. */
import { DeviceError } from '../errors.ts';
import { type GpuRange, type Manifest, gpuSizes } from '../manifest.ts';
import { bufferUsage } from './constants.ts';
import { type GpuSizes, weightRange } from './sizes.ts';

export interface GpuBuffers {
  readonly uniform: GPUBuffer;
  readonly step: GPUBuffer;
  readonly arena: GPUBuffer;
  /** By the state's number, then by iteration. */
  readonly states: readonly (readonly GPUBuffer[])[];
  readonly weights: readonly {
    readonly from: number;
    readonly to: number;
    readonly buffer: GPUBuffer;
  }[];
  /** Results on their way out; blocks of the cache on their way to another place. */
  readonly readback: GPUBuffer;
  readonly block: GPUBuffer;
  readonly blockOut: GPUBuffer;
  release(): void;
}

export const uniformWords = 4 * Math.ceil(gpuSizes.length / 4);

/** Throws DeviceError `device/memory` where the GPU has too little, with how much was asked for. */
export async function makeBuffers(
  device: GPUDevice,
  manifest: Pick<Manifest, 'cache' | 'weights'>,
  sizes: GpuSizes,
  blockBytes: number,
): Promise<GpuBuffers> {
  const all: GPUBuffer[] = [];
  const make = (label: string, size: number, usage: number): GPUBuffer => {
    const buffer = device.createBuffer({ label, size: Math.max(16, size), usage });
    all.push(buffer);
    return buffer;
  };
  const release = (): void => all.forEach((b) => b.destroy());
  const { mapRead, copySource, copyTarget, uniform, storage } = bufferUsage;
  const kept = storage | copyTarget | copySource;
  device.pushErrorScope('out-of-memory');
  device.pushErrorScope('validation');
  const buffers: GpuBuffers = {
    uniform: make('sizes', 4 * uniformWords, uniform | copyTarget),
    step: make('step', 4 * sizes.stepWords, storage | copyTarget),
    arena: make('arena', sizes.arena, kept),
    states: manifest.cache.states.map((s, n) =>
      Array.from({ length: s.count }, (_, i) => make(`${s.name} ${i}`, sizes.states[n] ?? 0, kept)),
    ),
    weights: sizes.weights.map(({ from, to }, i) => ({
      from,
      to,
      buffer: make(`weights ${i}`, to - from, storage | copyTarget),
    })),
    readback: make('readback', sizes.readback, mapRead | copyTarget),
    block: make('block', blockBytes, copySource | copyTarget),
    blockOut: make('block out', blockBytes, mapRead | copyTarget),
    release,
  };
  const wrong = await device.popErrorScope();
  const full = await device.popErrorScope();
  if (!wrong && !full) return buffers;
  release();
  const mib = Math.ceil(sizes.total / 2 ** 20);
  throw new DeviceError(
    'device/memory',
    `the GPU has no ${mib} MiB for the model (weights ${Math.ceil(manifest.weights.bytes / 2 ** 20)} MiB): ` +
      `load it with a smaller capacity (${(full ?? wrong)?.message ?? ''})`,
  );
}

/** What a range is in an iteration. */
export function bindingOf(
  buffers: GpuBuffers,
  range: GpuRange,
  iteration: number,
): GPUBufferBinding {
  switch (range.kind) {
    case 'arena':
      return { buffer: buffers.arena };
    case 'step':
      return { buffer: buffers.step };
    case 'state': {
      const all = buffers.states[range.state] ?? [];
      const buffer = all[all.length === 1 ? 0 : iteration];
      if (!buffer) throw new DeviceError('device/program', `there is no state ${range.state}`);
      return { buffer };
    }
    case 'weights': {
      const { from, to } = weightRange(range, iteration);
      const piece = buffers.weights.find((p) => p.from <= from && to <= p.to);
      if (!piece) throw new DeviceError('device/program', `there are no weights at ${from}`);
      return { buffer: piece.buffer, offset: from - piece.from, size: range.bytes };
    }
  }
}
