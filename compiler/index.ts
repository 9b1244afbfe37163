/** The compiler's public door. */
export { type BoundModel, type ModelOptions, type Selection, bind } from './bound.ts';
export { block, decode, model, place, precision } from './dsl.ts';
export type { Edit, LoraOptions } from './2-model/edits.ts';
export type { BlockPart, ModelPart, ParamValue, PartTensor, WeightPart } from './2-model/tree.ts';
export type { Selector } from './surgery.ts';
export type { Hole, Params, SheetKind, SheetSource, Template } from './1-syntax/template.ts';
export type { Diagnostic, Label } from './base/diagnostic.ts';
export {
  CheckpointError,
  ConfigError,
  DiagnosticsError,
  Failure,
  SchemeError,
  TargetError,
} from './base/failure.ts';
export {
  type Digit,
  type Field,
  type Group,
  type Level,
  type Piece,
  type QuantScheme,
  type SchemeSpec,
  type Zero,
  bitsPerElement,
  defineScheme,
} from './base/scheme.ts';
export {
  type NumberFormat,
  bf16Format,
  e4m3Format,
  e8m0Format,
  f16Format,
  f32Format,
} from './base/number-format.ts';
export type { BlockType, BlockTypes, GgufValue } from './8-bundle/gguf.ts';
export type { Hardware, ModelFact, Policy, PolicyConcern } from './base/sheet-values.ts';
export { type PolicySpec, definePolicy } from './policy.ts';
