/** Who watches the threads of workgroups in the kernel interpreter, to count. */
import type { Kernel, Tile } from '../kernel.ts';

/** What one statement or expression makes the threads of a workgroup do to a tile, all at once. */
export interface GroupAccess {
  readonly tile: Tile;
  readonly kind: 'load' | 'store';
  /** By thread: the byte address, `global`, or the offset among the shared tiles. */
  readonly at: ArrayLike<number>;
  /** Of one thread: its lanes together. */
  readonly bytes: number;
  /** By thread: not 0 if it takes part. */
  readonly active: ArrayLike<number>;
}

export interface GroupObserver {
  launch(kernel: Kernel): void;
  /** A value is computed or stored by the active threads; the others of their workgroup wait. */
  statement(active: ArrayLike<number>): void;
  access(access: GroupAccess): void;
}
