/** The package that calls native functions: optional, and asked for only where it is needed. */
import { DeviceError } from '../errors.ts';

export type Koffi = typeof import('koffi');

export interface FoundKoffi {
  readonly koffi: Koffi;
  /** Where it lies: threads load it from there. */
  readonly path: string;
}

/**
 * Throws DeviceError `device/koffi` where the package, or its part for this machine, is missing.
 * A `require`, so that no bundler looks for it: pages have no use for it.
 */
export function loadKoffi(require: NodeJS.Require): FoundKoffi {
  try {
    const path = require.resolve('koffi');
    const koffi: Koffi = require(path);
    return { koffi, path };
  } catch (e) {
    const reason = String(e instanceof Error ? e.message : e).split('\n')[0];
    throw new DeviceError(
      'device/koffi',
      `native code is called through the package koffi, which does not load here (${reason}): run cograph setup native`,
    );
  }
}
