/** Which experts lie in fast memory, and how early they are asked for. */
import { type Policy, definePolicy } from '../../compiler/index.ts';

const residency = (name: string, slots: number): Policy =>
  definePolicy({
    name,
    concern: 'residency',
    params: { slots },
    ranges: { slots: [1, 1 << 16] },
    needs: ['experts'],
  });

/** `slots` experts a layer; the least recently used one makes room. */
export const lru = (slots: number): Policy => residency('lru', slots);

/** The same `slots` experts a layer always, those that were used most before. */
export const pinned = (slots: number): Policy => residency('static', slots);

/** The least often used one makes room. */
export const lfu = (slots: number): Policy => residency('lfu', slots);

/** The one used furthest in the future makes room: for routings known ahead (Belady 1966). */
export const belady = (slots: number): Policy => residency('belady', slots);
