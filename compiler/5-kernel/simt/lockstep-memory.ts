/** Loads and stores of all threads of a workgroup at once, each of them checked. */
import { Failure } from '../../base/failure.ts';
import { invariant, present } from '../../base/invariant.ts';
import { bytesOf } from '../../base/type.ts';
import type { Expr, ExprOf } from '../../scalar/expr.ts';
import type { KernelRun } from '../interpret.ts';
import { readAs, rounded, writeAs } from '../lane-values.ts';
import { type Kernel, type Tile, scalarOf } from '../kernel.ts';
import { type GroupLog, makeGroupLog } from '../races.ts';
import type { Lanes, Values } from './lockstep-values.ts';

export interface GroupMemory {
  load(e: ExprOf<'load'>, index: Values): Values;
  store(
    tile: string,
    at: Expr,
    index: Values,
    value: { readonly lanes: number; readonly values: Values },
  ): () => void;
  declare(tile: Tile): () => void;
  /** The next workgroup begins. */
  begin(): void;
  /** All threads of the workgroup have met. */
  barrier(): void;
}

/** A shared tile: its elements, which of them are stored, who has touched them, and where it lies. */
interface Shared {
  readonly elements: Float64Array;
  readonly set: Uint8Array;
  readonly log: GroupLog;
  readonly offset: number;
}

export function makeGroupMemory(
  kernel: Kernel,
  threads: number,
  run: KernelRun,
  active: () => Uint8Array,
): GroupMemory {
  const { memory, races, observer } = run;
  const tiles = new Map<string, Tile>(kernel.params.map((t) => [t.name, t]));
  const regions = new Map(kernel.params.map((t, i) => [t.name, present(run.regions[i])]));
  const registers = new Map<string, readonly Lanes[]>();
  const shared = new Map<string, Shared>();
  let sharedBytes = 0;
  let workgroup = 0;
  const fail = (code: string, what: string): never => {
    throw new Failure(code, `${kernel.name}: ${what}`);
  };

  /** Byte addresses, or offsets among the shared tiles, of what the threads that run touch. */
  function placed(tile: Tile, index: Lanes, lanes: number, into: Lanes): Lanes {
    const size = bytesOf[tile.dtype];
    const elements = tile.shape.reduce((a, b) => a * b, 1);
    const place =
      tile.space === 'global'
        ? present(regions.get(tile.name))
        : { address: shared.get(tile.name)?.offset ?? 0, bytes: size * elements };
    const on = active();
    for (let n = 0; n < threads; n++) {
      const i = index[n] ?? 0;
      if (on[n] === 0) continue;
      if (!Number.isInteger(i) || i < 0 || (i + lanes) * size > place.bytes) {
        const where = `${tile.name}[${i} : ${lanes}]`;
        fail('kernel/bounds', `${where} is outside its ${place.bytes} bytes`);
      }
      into[n] = place.address + i * size;
    }
    return into;
  }

  const note = (tile: Tile, kind: 'load' | 'store', at: Lanes, lanes: number): void =>
    observer?.access({ tile, kind, at, bytes: lanes * bytesOf[tile.dtype], active: active() });

  const race = (tile: Tile, where: string, kind: 'load' | 'store'): never =>
    fail(
      'kernel/race',
      kind === 'load'
        ? `${tile.name}${where} is written by another thread of the workgroup`
        : `${tile.name}${where} is written or read by another thread of the workgroup`,
    );

  /** Notes that thread n touches `size` bytes from an address on. */
  function touch(tile: Tile, kind: 'load' | 'store', address: number, size: number, n: number) {
    if (tile.fixed) return;
    races[kind === 'load' ? 'read' : 'write'](address, size, workgroup, kernel.name, tile.name);
    for (let byte = address; byte < address + size; byte++) {
      const clear = kind === 'load' ? races.inGroup.read(byte, n) : races.inGroup.write(byte, n);
      if (!clear) race(tile, ` at byte ${address}`, kind);
    }
  }

  function loadGlobal(tile: Tile, index: Values, lanes: number): Values {
    const size = bytesOf[tile.dtype];
    const out = new Float64Array(lanes * threads);
    const places = new Float64Array(threads);
    return () => {
      const at = placed(tile, index(), lanes, places);
      note(tile, 'load', at, lanes);
      const on = active();
      at.forEach((address, n) => {
        if (on[n] === 0) return;
        touch(tile, 'load', address, lanes * size, n);
        for (let lane = 0; lane < lanes; lane++)
          out[lane * threads + n] = readAs(memory, tile.dtype, address + lane * size);
      });
      return out;
    };
  }

  function loadShared(tile: Tile, held: Shared, index: Values, lanes: number): Values {
    const out = new Float64Array(lanes * threads);
    const places = new Float64Array(threads);
    return () => {
      const first = index();
      note(tile, 'load', placed(tile, first, lanes, places), lanes);
      const on = active();
      first.forEach((start, n) => {
        if (on[n] === 0) return;
        for (let lane = 0; lane < lanes; lane++) {
          const i = start + lane;
          if (held.set[i] === 0) fail('kernel/unset', `${tile.name}[${i}] is read unset`);
          if (!held.log.read(i, n)) race(tile, `[${i}]`, 'load');
          out[lane * threads + n] = held.elements[i] ?? 0;
        }
      });
      return out;
    };
  }

  return {
    load(e, index) {
      const tile = present(tiles.get(e.tile), e.tile);
      switch (tile.space) {
        case 'register': {
          invariant(e.index.op === 'const', 'registers are addressed by constants');
          const held = present(registers.get(e.tile)?.[e.index.value], e.tile);
          return () => held;
        }
        case 'constant': {
          const values = present(tile.values, e.tile);
          const out = new Float64Array(threads);
          const places = new Float64Array(threads);
          return () => {
            const at = index();
            placed(tile, at, 1, places);
            at.forEach((i, n) => (out[n] = values[i] ?? 0));
            return out;
          };
        }
        case 'shared':
          return loadShared(tile, present(shared.get(e.tile)), index, e.lanes);
        case 'global':
          return loadGlobal(tile, index, e.lanes);
        case 'scratch':
        case 'fragment':
          return fail('kernel/expression', `${tile.name}: no workgroup has ${tile.space} memory`);
      }
    },
    store(name, at, index, { lanes, values }) {
      const tile = present(tiles.get(name), name);
      const size = bytesOf[tile.dtype];
      const type = scalarOf(tile.dtype);
      if (tile.space === 'register') {
        invariant(at.op === 'const', 'registers are addressed by constants');
        const held = present(registers.get(name)?.[at.value], name);
        return () => {
          const [from, on] = [values(), active()];
          from.forEach((v, i) => {
            if (on[i % threads] !== 0) held[i] = v;
          });
        };
      }
      const held = tile.space === 'shared' ? present(shared.get(name), name) : undefined;
      invariant(held || tile.space === 'global', 'stores go to memory');
      const places = new Float64Array(threads);
      return () => {
        const [first, from] = [index(), values()];
        placed(tile, first, lanes, places);
        note(tile, 'store', places, lanes);
        const on = active();
        first.forEach((start, n) => {
          if (on[n] === 0) return;
          if (!held) touch(tile, 'store', places[n] ?? 0, lanes * size, n);
          for (let lane = 0; lane < lanes; lane++) {
            const v = from[lane * threads + n] ?? 0;
            const i = start + lane;
            if (!held) {
              writeAs(memory, tile.dtype, (places[n] ?? 0) + lane * size, v);
              continue;
            }
            if (!held.log.write(i, n)) race(tile, `[${i}]`, 'store');
            held.set[i] = 1;
            held.elements[i] = rounded(v, type);
          }
        });
      };
    },
    declare(tile) {
      tiles.set(tile.name, tile);
      const elements = tile.shape.reduce((a, b) => a * b, 1);
      if (tile.space === 'shared') {
        const offset = sharedBytes;
        sharedBytes += elements * bytesOf[tile.dtype];
        shared.set(tile.name, {
          elements: new Float64Array(elements),
          set: new Uint8Array(elements),
          log: makeGroupLog(elements),
          offset,
        });
      }
      if (tile.space !== 'register') return () => undefined;
      const lanes = (tile.lanes ?? 1) * threads;
      const held = Array.from({ length: elements }, () => new Float64Array(lanes));
      registers.set(tile.name, held);
      return () => {
        const on = active();
        for (const r of held) r.forEach((_, i) => on[i % threads] !== 0 && (r[i] = 0));
      };
    },
    begin() {
      workgroup = races.workgroup();
      races.inGroup.barrier();
      for (const s of shared.values()) {
        s.set.fill(0);
        s.log.barrier();
      }
    },
    barrier() {
      races.inGroup.barrier();
      for (const s of shared.values()) s.log.barrier();
    },
  };
}
