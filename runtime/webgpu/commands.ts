/** A step as a list of commands: pipelines and what is bound are made once, a step only encodes them. */
import { DeviceError } from '../errors.ts';
import {
  type GpuItem, type GpuKernel, type GridScalar, type GridSize, type WebGpuProgram, gridWidth,
} from '../manifest.ts'; // prettier-ignore
import { type GpuBuffers, bindingOf } from './buffers.ts';
import { computeStage } from './constants.ts';
import { eachLaunch } from './sizes.ts';

export interface StepCommands {
  /** Dispatches of a step. */
  readonly dispatches: number;
  /** Encodes all launches with workgroups for a step of these sizes. */
  encode(pass: GPUComputePassEncoder, sizes: Readonly<Record<GridScalar, number>>): void;
}

type Launch = Extract<GpuItem, { kind: 'launch' }>;

/** Throws DeviceError `device/program` where the module or a pipeline is not what the GPU takes. */
export async function makeCommands(
  device: GPUDevice,
  program: WebGpuProgram,
  code: string,
  buffers: GpuBuffers,
): Promise<StepCommands> {
  const module = device.createShaderModule({ label: 'step', code });
  const { messages } = await module.getCompilationInfo();
  const mistake = messages.find((m) => m.type === 'error');
  if (mistake) {
    const { lineNum, linePos, message } = mistake;
    throw new DeviceError('device/program', `WGSL ${lineNum}:${linePos}: ${message}`);
  }
  const layouts = program.kernels.map((k) => layoutOf(device, k));
  const pipelines = new Map<string, Promise<GPUComputePipeline>>();
  const pipelineOf = ({ kernel, constants }: Launch): Promise<GPUComputePipeline> => {
    const key = `${kernel} ${JSON.stringify(constants)}`;
    const made = pipelines.get(key) ?? makePipeline(kernel, constants);
    pipelines.set(key, made);
    return made;
  };
  const makePipeline = (n: number, constants: Launch['constants']): Promise<GPUComputePipeline> => {
    const [kernel, layout] = [program.kernels[n], layouts[n]];
    if (!kernel || !layout) throw new DeviceError('device/program', `there is no kernel ${n}`);
    const pipelineLayout = device.createPipelineLayout({ bindGroupLayouts: [layout] });
    const compute = { module, entryPoint: kernel.entry, constants: { ...constants } };
    return device.createComputePipelineAsync({
      label: kernel.entry,
      layout: pipelineLayout,
      compute,
    });
  };
  const groups = new Map<string, GPUBindGroup>();
  const groupOf = ({ kernel, ranges }: Launch, iteration: number): GPUBindGroup => {
    const key = `${kernel} ${iteration} ${JSON.stringify(ranges)}`;
    const had = groups.get(key);
    if (had) return had;
    const layout = layouts[kernel];
    if (!layout) throw new DeviceError('device/program', `there is no kernel ${kernel}`);
    const entries = ranges.map((range, i) => ({
      binding: i + 1,
      resource: bindingOf(buffers, range, iteration),
    }));
    const uniform = { binding: 0, resource: { buffer: buffers.uniform } };
    const group = device.createBindGroup({ layout, entries: [uniform, ...entries] });
    groups.set(key, group);
    return group;
  };
  const waiting: Promise<Dispatch>[] = [];
  device.pushErrorScope('validation');
  eachLaunch(program.body, (launch, iteration) => {
    const group = groupOf(launch, iteration);
    waiting.push(
      pipelineOf(launch).then((pipeline) => ({ pipeline, group, kernel: launch.kernel })),
    );
  });
  const made = await Promise.allSettled(waiting);
  const wrong = await device.popErrorScope();
  const failed = made.find((m) => m.status === 'rejected');
  const reason: unknown = wrong?.message ?? failed?.reason;
  if (reason !== undefined) {
    throw new DeviceError('device/program', `the GPU does not take the program: ${String(reason)}`);
  }
  const list = await Promise.all(waiting);
  return { dispatches: list.length, encode: encoder(program.kernels, list) };
}

interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly kernel: number;
}

function encoder(kernels: readonly GpuKernel[], list: readonly Dispatch[]): StepCommands['encode'] {
  const counts = new Float64Array(kernels.length);
  const grids = kernels.map((k) => k.grid.map(evaluator));
  return (pass, sizes) => {
    grids.forEach((extents, n) => {
      let count = 1;
      for (const extent of extents) count *= extent(sizes);
      counts[n] = count;
    });
    let set: GPUComputePipeline | undefined;
    for (const { pipeline, group, kernel } of list) {
      const count = counts[kernel] ?? 0;
      if (count <= 0) continue;
      if (pipeline !== set) pass.setPipeline(pipeline);
      set = pipeline;
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(Math.min(count, gridWidth), Math.ceil(count / gridWidth));
    }
  };
}

type Sizes = Readonly<Record<GridScalar, number>>;

/** A size as a function of the step's, so that no step walks trees. */
function evaluator(e: GridSize): (sizes: Sizes) => number {
  if (typeof e === 'number') return () => e;
  if (typeof e === 'string') return (sizes) => sizes[e];
  if (e[0] === 'select') {
    const [when, then, otherwise] = [evaluator(e[1]), evaluator(e[2]), evaluator(e[3])];
    return (s) => (when(s) !== 0 ? then(s) : otherwise(s));
  }
  const [op, left, right] = e;
  const [a, b] = [evaluator(left), evaluator(right)];
  switch (op) {
    case 'add':
      return (s) => a(s) + b(s);
    case 'sub':
      return (s) => a(s) - b(s);
    case 'mul':
      return (s) => a(s) * b(s);
    case 'div':
      return (s) => Math.trunc(a(s) / b(s));
    case 'rem':
      return (s) => a(s) % b(s);
    case 'min':
      return (s) => Math.min(a(s), b(s));
    case 'max':
      return (s) => Math.max(a(s), b(s));
    case 'lt':
      return (s) => Number(a(s) < b(s));
    case 'le':
      return (s) => Number(a(s) <= b(s));
    case 'gt':
      return (s) => Number(a(s) > b(s));
    case 'ge':
      return (s) => Number(a(s) >= b(s));
    case 'eq':
      return (s) => Number(a(s) === b(s));
    case 'ne':
      return (s) => Number(a(s) !== b(s));
  }
}

/** The uniform at 0, then storage buffers. */
function layoutOf(device: GPUDevice, { bindings }: GpuKernel): GPUBindGroupLayout {
  const storage = bindings.map(({ write }, i) => ({
    binding: i + 1,
    visibility: computeStage,
    buffer: { type: write ? ('storage' as const) : ('read-only-storage' as const) },
  }));
  const uniform = { binding: 0, visibility: computeStage, buffer: { type: 'uniform' as const } };
  return device.createBindGroupLayout({ entries: [uniform, ...storage] });
}
