/** Failures of the runtime: each has a stable `code`, and a message that says what to do. */
export class CographError extends Error {
  override readonly name: string = 'CographError';
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** A bundle is damaged, incomplete, of a newer version, or points outside its folder. */
export class BundleError extends CographError {
  override readonly name = 'BundleError';
}

/** A request asks for something impossible: ids outside the vocabulary, a prompt beyond the context. */
export class InputError extends CographError {
  override readonly name = 'InputError';
}

/** This machine cannot run the bundle so: a missing target, too little memory. */
export class DeviceError extends CographError {
  override readonly name = 'DeviceError';
}
