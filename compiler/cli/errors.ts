/** Mistakes in how the command line is used. */
import { Failure } from '../base/failure.ts';

export class UsageError extends Failure {
  override readonly name = 'UsageError';
}
