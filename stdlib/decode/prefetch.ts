/** How early the experts of a layer are asked for. */
import { type Policy, definePolicy } from '../../compiler/index.ts';

/** Experts are asked for `layers` layers before they are used, by when they must be chosen. */
export const prefetch = (layers: number): Policy =>
  definePolicy({
    name: 'ahead',
    concern: 'prefetch',
    params: { layers },
    ranges: { layers: [0, 1 << 10] },
    needs: ['experts'],
    ahead: 'layers',
  });
