/** What users of the language import. */
export { type Binding, type BoundModel, bind, block, model } from './dsl.ts';
export type { Hole, Template } from './1-syntax/template.ts';
export type { Diagnostic, Label } from './base/diagnostic.ts';
export {
  CheckpointError,
  ConfigError,
  DiagnosticsError,
  Failure,
  TargetError,
} from './base/failure.ts';
export { CompilerBug } from './base/invariant.ts';
