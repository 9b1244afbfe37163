/** The compiler's public door. */
export {
  type BoundModel,
  type ModelOptions,
  bind,
  block,
  decode,
  model,
  place,
  precision,
} from './dsl.ts';
export type { Hole, Params, SheetKind, SheetSource, Template } from './1-syntax/template.ts';
export type { Diagnostic, Label } from './base/diagnostic.ts';
export {
  CheckpointError,
  ConfigError,
  DiagnosticsError,
  Failure,
  TargetError,
} from './base/failure.ts';
