/** Names that WGSL takes. */

/** Keywords, reserved words, and what the printer calls: a name of a kernel may be none of them. */
const taken = new Set(
  `NULL Self abstract active alias alignas alignof as asm asm_fragment async attribute auto await become
  bool break case cast catch class co_await co_return co_yield coherent column_major common compile
  compile_fragment concept const const_assert const_cast consteval constexpr constinit continue continuing
  crate debugger decltype default delete demote demote_to_helper diagnostic discard do dynamic_cast else
  enable enum explicit export extends extern external fallthrough false filter final finally fn for friend
  from fxgroup get goto groupshared highp if impl implements import inline instanceof interface layout let
  loop lowp macro macro_rules match mediump meta mod module move mut mutable namespace new nil noexcept
  noinline nointerpolation non_coherent noncoherent noperspective null nullptr of operator override package
  packoffset partition pass patch pixelfragment precise precision premerge priv protected pub public
  readonly ref regardless register reinterpret_cast require requires resource restrict return self set
  shared sizeof smooth snorm static static_assert static_cast std struct subroutine super switch target
  template this thread_local throw trait true try type typedef typeid typename typeof union unless unorm
  unsafe unsized use using var varying virtual volatile wgsl where while with writeonly yield
  i32 u32 f32 f16 vec2 vec3 vec4 array atomic ptr Sizes sizes group local infinity
  abs atomicAnd atomicLoad atomicOr bitcast ceil exp extractBits floor fma log max min round
  select sqrt storageBarrier trunc unpack2x16float workgroupBarrier dot4I8Packed shr half tohalf
  tanh erf sin cos rest`.split(/\s+/),
);

/** A name of the kernel's as WGSL takes it; different names stay different. */
export function wgslName(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9_]/g, '_');
  const started = /^[A-Za-z]/.test(plain) ? plain : `v${plain}`;
  // Names of the printer's own begin so; what ends in an underscore has got it here.
  return taken.has(started) || /^k\d+_|_$/.test(started) ? `${started}_` : started;
}
