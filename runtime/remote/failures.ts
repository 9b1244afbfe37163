/** Errors over a port: classes and codes stay what they are. */
import { BundleError, CographError, DeviceError, InputError } from '../errors.ts';
import type { Failure } from './messages.ts';

const classes = { CographError, BundleError, InputError, DeviceError };

export function failureOf(e: unknown): Failure {
  if (!(e instanceof Error) && !(e instanceof DOMException)) {
    return { name: 'Error', code: undefined, message: String(e), stack: undefined };
  }
  const { name, message, stack } = e;
  return { name, message, stack, code: e instanceof CographError ? e.code : undefined };
}

export function errorOf({ name, code, message, stack }: Failure): Error {
  const error = make(name, code, message);
  if (stack !== undefined) error.stack = stack; // where it came up, in the worker
  return error;
}

function make(name: string, code: string | undefined, message: string): Error {
  const known = Object.entries(classes).find(([n]) => n === name)?.[1];
  if (known && code !== undefined) return new known(code, message);
  if (name === 'AbortError') return new DOMException(message, name);
  return Object.assign(new Error(message), { name });
}
