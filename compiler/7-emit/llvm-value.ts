/** Types, constants and the growing text of one LLVM function. LLVM 14: pointers carry types. */
import type { DType } from '../base/type.ts';
import type { ScalarType } from '../scalar/expr.ts';

/** What an expression may use of the processor beyond its baseline. */
export interface LlvmFeatures {
  readonly arch: 'x64' | 'arm64';
  /** x64: AVX-512 with VNNI, VL and BW. */
  readonly vnni: boolean;
}

/** The body of a function as it is printed. */
export interface LlvmBody {
  line(text: string): void;
  /** A new name for a value. */
  fresh(): string;
  /** A number that makes labels unique. */
  label(): number;
  /** Says that a function of this signature is called. */
  declare(signature: string): void;
}

const elements: Readonly<Record<ScalarType, string>> = {
  f64: 'double',
  f32: 'float',
  i32: 'i32',
  bool: 'i1',
};

export const llvmType = (dtype: ScalarType, lanes: number): string => of(elements[dtype], lanes);

/** `lanes` of a type; a scalar for one. */
export const of = (element: string, lanes: number): string =>
  lanes > 1 ? `<${lanes} x ${element}>` : element;

/** The type that an element has in memory. */
export function memoryType(dtype: DType): string {
  switch (dtype) {
    case 'f64':
      return 'double';
    case 'f32':
      return 'float';
    case 'i32':
    case 'u32':
      return 'i32';
    case 'f16':
    case 'bf16':
      return 'i16';
    case 'i8':
    case 'u8':
    case 'bool':
      return 'i8';
  }
}

/** Part of an intrinsic's name: `v4f32`, `i32`. */
export function suffix(dtype: ScalarType, lanes: number): string {
  const name = dtype === 'bool' ? 'i1' : dtype;
  return lanes > 1 ? `v${lanes}${name}` : name;
}

/** A constant; floats are written as the bits of the double that equals them. */
export function constant(value: number, dtype: ScalarType, lanes: number): string {
  const one = scalarConstant(value, dtype);
  if (lanes === 1) return one;
  const element = llvmType(dtype, 1);
  return `<${Array.from({ length: lanes }, () => `${element} ${one}`).join(', ')}>`;
}

function scalarConstant(value: number, dtype: ScalarType): string {
  switch (dtype) {
    case 'bool':
      return value === 0 ? 'false' : 'true';
    case 'i32':
      return String(value | 0);
    case 'f32':
    case 'f64': {
      const view = new DataView(new ArrayBuffer(8));
      view.setFloat64(0, dtype === 'f32' ? Math.fround(value) : value);
      return `0x${view.getBigUint64(0).toString(16).padStart(16, '0').toUpperCase()}`;
    }
  }
}

/** Emits an instruction and names its value. */
export function assign(body: LlvmBody, text: string): string {
  const name = body.fresh();
  body.line(`${name} = ${text}`);
  return name;
}

/** Emits a call of an intrinsic that takes and gives values of the types named. */
export function call(
  body: LlvmBody,
  result: string,
  name: string,
  args: readonly (readonly [type: string, value: string])[],
): string {
  body.declare(`${result} @${name}(${args.map(([t]) => t).join(', ')})`);
  return assign(body, `call ${result} @${name}(${args.map((a) => a.join(' ')).join(', ')})`);
}
