/** Failures that a user's input causes outside templates. `code` is stable; the message says what to do. */
import type { Diagnostic } from './diagnostic.ts';

export class Failure extends Error {
  override readonly name: string = 'Failure';
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** A checkpoint file is damaged, incomplete or not what the model needs. */
export class CheckpointError extends Failure {
  override readonly name = 'CheckpointError';
}

/** A config describes no model that can be built. */
export class ConfigError extends Failure {
  override readonly name = 'ConfigError';
}

/** A target or option that does not exist, or that this machine cannot serve. */
export class TargetError extends Failure {
  override readonly name = 'TargetError';
}

/** The parts of a quantisation scheme do not make one. */
export class SchemeError extends Failure {
  override readonly name = 'SchemeError';
}

/** Mistakes in templates; the message is all of them, rendered. */
export class DiagnosticsError extends Failure {
  override readonly name = 'DiagnosticsError';
  readonly diagnostics: readonly Diagnostic[];
  constructor(diagnostics: readonly Diagnostic[], rendered: string) {
    super(diagnostics[0]?.code ?? 'model/error', rendered);
    this.diagnostics = diagnostics;
  }
}

/**
 * The error as mistakes in templates; undefined where it is none. A model file may use a copy of
 * this package other than the command that runs it, and throw that copy's error.
 */
export function asDiagnosticsError(e: unknown): DiagnosticsError | undefined {
  if (e instanceof DiagnosticsError) return e;
  const alike = e instanceof Error && e.name === 'DiagnosticsError' && 'diagnostics' in e;
  // Cast: the name is this class's in every copy.
  return alike ? (e as DiagnosticsError) : undefined;
}
