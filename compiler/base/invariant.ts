/**
 * Compiler bugs, as opposed to a user's mistakes: nothing that a user writes may reach these.
 */
export class CompilerBug extends Error {
  override readonly name = 'CompilerBug';
}

/** Throws a CompilerBug unless `condition` holds. */
export function invariant(condition: unknown, message: string | (() => string)): asserts condition {
  if (!condition) {
    throw new CompilerBug(
      `compiler bug: ${typeof message === 'string' ? message : message()}; please report it`,
    );
  }
}

/** Closes a switch over a discriminated union: a case left out does not compile. */
export function unreachable(value: never): never {
  throw new CompilerBug(`compiler bug: unexpected ${JSON.stringify(value)}; please report it`);
}

/** The value, which the caller knows to be there (an index in range, a key just set). */
export function present<T>(value: T | undefined, what = 'value'): T {
  invariant(value !== undefined, () => `${what} is missing`);
  return value;
}
