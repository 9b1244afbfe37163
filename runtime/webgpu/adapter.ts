/** WebGPU as a page has it, or Node through the package `webgpu`; its adapter and a device. */
import { DeviceError } from '../errors.ts';

/** What the package exports; it is optional, and its types are those of the browser. */
interface WebGpuPackage {
  create(options: readonly string[]): GPU;
}

const inNode = (): boolean =>
  typeof process !== 'undefined' && process.versions?.node !== undefined;

/**
 * Throws DeviceError `device/webgpu` where there is none: a page that is not shown securely or whose
 * browser lacks it, or Node without the package.
 */
export async function findGpu(): Promise<GPU> {
  const own: GPU | undefined = globalThis.navigator?.gpu;
  if (own) return own;
  if (!inNode()) {
    throw new DeviceError(
      'device/webgpu',
      'this browser has no WebGPU, or shows it to pages with https alone',
    );
  }
  try {
    // By a name that bundlers do not follow: pages have no use for the package.
    const name = 'webgpu';
    const found = (await import(/* @vite-ignore */ name)) as WebGpuPackage; // as it is documented
    return found.create([]);
  } catch (e) {
    const reason = String(e instanceof Error ? e.message : e).split('\n')[0];
    throw new DeviceError(
      'device/webgpu',
      `WebGPU comes to Node with the package webgpu, which does not load here (${reason}): run cograph setup webgpu`,
    );
  }
}

/** Throws DeviceError `device/adapter` where no GPU answers. */
export async function findAdapter(gpu: GPU): Promise<GPUAdapter> {
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter) return adapter;
  const help = inNode()
    ? 'a driver for Vulkan, Metal or Direct3D 12 is missing: run cograph setup webgpu'
    : 'the browser does not give this page a GPU';
  throw new DeviceError('device/adapter', `WebGPU has no adapter here: ${help}`);
}

/** Words about limits that say what to do about them. */
const help: Readonly<Record<string, string>> = {
  maxStorageBufferBindingSize: 'load with a smaller capacity',
  maxBufferSize: 'load with a smaller capacity',
};

/**
 * A device that has the limits asked for. Throws DeviceError `device/limit`, which names the limit that
 * the adapter has less of.
 */
export async function openDevice(
  adapter: GPUAdapter,
  limits: Readonly<Record<string, number>>,
): Promise<GPUDevice> {
  const has = adapter.limits as unknown as Readonly<Record<string, number | undefined>>; // by name
  const wanted: Record<string, number> = {};
  for (const [name, needed] of Object.entries(limits)) {
    const most = has[name];
    if (most === undefined) continue; // not a limit here
    if (needed > most) {
      const what = help[name] === undefined ? '' : `: ${help[name]}`;
      throw new DeviceError(
        'device/limit',
        `the model needs ${name} of ${needed}, this GPU has ${most}${what}`,
      );
    }
    if (needed > 0) wanted[name] = needed;
  }
  try {
    return await adapter.requestDevice({ requiredLimits: wanted });
  } catch (e) {
    throw new DeviceError('device/adapter', `the GPU gives no device: ${String(e)}`);
  }
}
