/** Native programs: the variants there are, and what makes shared libraries of their modules. */
import { TargetError } from '../base/failure.ts';
import { nativeIsas, nativeSystems } from '../../runtime/manifest.ts';
import type { LlvmVariant } from './llvm.ts';

/** Brought by the caller: LLVM 14, which is no part of this package. */
export interface NativeTools {
  /**
   * Verifies, optimises and compiles a module; the object file's bytes. Throws TargetError where a
   * tool cannot run, CompilerBug for a module that is not valid, and the signal's reason.
   */
  object(ir: string, variant: LlvmVariant, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * Links an object file into a shared library that exports `step` and imports nothing; its bytes.
   * Throws as `object` does; a symbol that nobody defines is a CompilerBug.
   */
  link(object: Uint8Array, variant: LlvmVariant, signal?: AbortSignal): Promise<Uint8Array>;
}

/**
 * What a bundle is built for, in the order in which the runtime looks. The Macs with AVX-512 were
 * few, and run AVX2.
 */
export const nativeVariants: readonly LlvmVariant[] = nativeSystems.flatMap((os) =>
  nativeIsas.flatMap((isa) => (os === 'macos' && isa === 'avx512' ? [] : { os, isa })),
);

/** The architecture that a variant's program is made for. */
export const archOf = ({ isa }: LlvmVariant): 'x64' | 'arm64' =>
  isa === 'arm64' ? 'arm64' : 'x64';

/** A variant's name, as in `linux-avx2`. */
export const variantName = ({ os, isa }: LlvmVariant): string => `${os}-${isa}`;

/** In order of preference, each once. Throws TargetError for a name that is none. */
export function readVariants(names: readonly string[]): readonly LlvmVariant[] {
  const all = nativeVariants.map(variantName);
  const wrong = names.find((n) => !all.includes(n));
  if (wrong !== undefined || names.length === 0) {
    throw new TargetError(
      'target/variant',
      `no native code for ${wrong ?? 'nothing'}; there is ${all.join(', ')}`,
    );
  }
  return nativeVariants.filter((v) => names.includes(variantName(v)));
}

const endings = { linux: 'so', macos: 'dylib', windows: 'dll' } as const;

/** The file of a variant's library in a bundle. */
export const libraryFile = (v: LlvmVariant): string => `native/${variantName(v)}.${endings[v.os]}`;
