/** How large weights are in their layouts. */
import { invariant } from '../base/invariant.ts';
import { type DType, bytesOf } from '../base/type.ts';
import { blockGeometry } from './blocks.ts';
import { type WeightLayout, tileGeometry } from './layout.ts';

/** Bytes that a weight takes in a bundle. */
export function packedBytes(shape: readonly number[], dtype: DType, layout: WeightLayout): number {
  const elements = shape.reduce((a, b) => a * b, 1);
  const matrix = (): { readonly n: number; readonly k: number; readonly count: number } => {
    const [n, k] = shape.slice(-2);
    invariant(n !== undefined && k !== undefined, 'a matrix has two axes');
    return { n, k, count: elements / (n * k) };
  };
  switch (layout.kind) {
    case 'plain':
      return elements * bytesOf[dtype];
    case 'wide':
      return elements * 4;
    case 'tiles': {
      const { n, k, count } = matrix();
      return count * tileGeometry(n, k, dtype, layout.unit).matrixBytes;
    }
    case 'blocks': {
      const { n, k, count } = matrix();
      return count * blockGeometry(n, k, layout.scheme, layout.unit).matrixBytes;
    }
  }
}
