/** What a sheet's properties may be set to, as plain data that any file may write. */
import type { QuantScheme } from './scheme.ts';

/** What decoding does about one concern, with its parameters: a window of the KV cache, say. */
export interface Policy {
  readonly kind: 'policy';
  readonly name: string;
  /** The property of a decode sheet that it may be the value of. */
  readonly concern: PolicyConcern;
  readonly params: Readonly<Record<string, number>>;
  /** What the part must have in it for the policy to mean anything. */
  readonly needs: readonly ModelFact[];
  /** The parameter that counts layers between the choice of experts and their use. */
  readonly ahead?: string;
  /** Entries that the model's vocabulary must have. */
  readonly vocabulary?: number;
}

export const policyConcerns = ['kv', 'residency', 'prefetch', 'speculate', 'paths'] as const;
export type PolicyConcern = (typeof policyConcerns)[number];

/** Facts of a part: it computes from token positions, attends to a cache, or chooses experts. */
export type ModelFact = 'positions' | 'attention' | 'experts';

/** What a hardware group is made of. Rates are per second; absent where nobody published one. */
export interface Hardware {
  readonly kind: 'hardware';
  readonly name: string;
  /** Dense products by element type, operations per second. */
  readonly rates: Readonly<Record<string, number>>;
  /** Bytes per second from memory, and bytes that it holds. */
  readonly bandwidth: number;
  readonly capacity: number;
  /** Where the figures are published. */
  readonly source: string;
}

/** Element types that a sheet names. */
export const storedTypes = ['f32', 'f16', 'bf16'] as const;
export type StoredType = (typeof storedTypes)[number];

export type SheetValue =
  | { readonly kind: 'type'; readonly type: StoredType }
  | QuantScheme
  | Policy
  | { readonly kind: 'group'; readonly name: string; readonly hardware: Hardware | undefined }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'int'; readonly value: number };

export function showSheetValue(v: SheetValue): string {
  switch (v.kind) {
    case 'type':
      return v.type;
    case 'scheme':
    case 'group':
      return v.name;
    case 'bool':
    case 'int':
      return String(v.value);
    case 'policy': {
      const params = Object.entries(v.params).map(([name, x]) => `${name} = ${x}`);
      return params.length === 0 ? v.name : `${v.name}(${params.join(', ')})`;
    }
  }
}
