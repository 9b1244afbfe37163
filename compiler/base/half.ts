/** IEEE binary16: its values from and to their bits. */

/** The value of 16 bits; higher ones are ignored. */
export function halfToFloat(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const exponent = (h >> 10) & 31;
  const mantissa = h & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** The nearest, ties to even: past the largest number infinity, subnormals kept. */
export function halfOf(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const size = Math.abs(x);
  if (Number.isNaN(x)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | evenRound(size * 2 ** 24);
  const near = Math.floor(Math.log2(size));
  // The logarithm of a number just below a power of two may round up to it.
  const e = size < 2 ** near ? near - 1 : near;
  return sign | (((e + 15) << 10) + evenRound((size / 2 ** e - 1) * 1024));
}

function evenRound(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}
