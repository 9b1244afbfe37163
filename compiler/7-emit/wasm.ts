/** Program to WebAssembly: printed as text, assembled by wabt (which is imported nowhere else). */
import { present } from '../base/invariant.ts';
import { makeWriter, type Writer } from '../base/writer.ts';
import { control, wasmReach } from '../../runtime/manifest.ts';
import type { Argument, Item, Program } from '../6-program/program.ts';
import { type AddressType, wideText } from './wat-expr.ts';
import { emitKernel, watName } from './wat-kernel.ts';

export interface WasmOptions {
  /** Shared memory and barriers. */
  readonly threads: boolean;
  /** Relaxed SIMD: products and sums may be fused. */
  readonly relaxed: boolean;
  /** Addresses of 64 bits, for more memory than 4 GiB. */
  readonly memory64: boolean;
}

/** How often a waiting thread looks before it sleeps. */
const spins = 20_000;

export function emitWasm(program: Program, options: WasmOptions): string {
  const names = program.kernels.map((k, i) => `k${i}_${watName(k.name)}`);
  const address: AddressType = options.memory64 ? 'i64' : 'i32';
  const w = makeWriter();
  w.line(`;; ${program.name}: one step, run by every thread of the team`);
  w.line('(module');
  w.line(`(import "env" "memory" (memory ${limitsText(options)}))`);
  if (options.threads) emitBarrier(w, address);
  program.kernels.forEach((k, i) => {
    emitKernel(k, present(names[i]), { relaxed: options.relaxed, address })
      .trimEnd()
      .split('\n')
      .forEach((l) => w.line(l));
  });
  w.line('(func $step (export "step") (param $thread i32)');
  w.indent(() => {
    for (const name of numbers) w.line(`(local $${name} i32)`);
    for (const name of [...places, 'scratch', 'i']) w.line(`(local $${name} ${address})`);
    for (const name of numbers) {
      w.line(`(local.set $${name} ${wordText(address, control[name], 'i32')})`);
    }
    for (const name of places) {
      w.line(`(local.set $${name} ${wordText(address, control[name], address)})`);
    }
    const [scratch, bytes] = [control.scratch, control.scratchBytes].map((word) =>
      wordText(address, word, address),
    );
    const mine = `(${address}.mul ${wideText(address, '(local.get $thread)', 'u')} ${bytes})`;
    w.line(`(local.set $scratch (${address}.add ${scratch} ${mine}))`);
    let loops = 0;
    const emitItem = (item: Item): void => {
      switch (item.kind) {
        case 'barrier':
          if (options.threads) w.line('(call $barrier (local.get $threads))');
          break;
        case 'loop': {
          const label = `layers_${loops++}`;
          w.line(`(local.set $i (${address}.const 0))`);
          w.line(`(loop $${label}`);
          w.indent(() => {
            item.body.forEach(emitItem);
            const next = `(local.tee $i (${address}.add (local.get $i) (${address}.const 1)))`;
            w.line(`(br_if $${label} (${address}.lt_u ${next} (${address}.const ${item.count})))`);
          });
          w.line(')');
          break;
        }
        case 'launch': {
          const kernel = present(program.kernels[item.kernel]);
          const scalars = kernel.scalars.map((s) => `(local.get $${s})`);
          const args = [
            ...item.args.map((a) => argumentText(address, a)),
            ...scalars,
            '(local.get $thread) (local.get $threads) (local.get $scratch)',
          ];
          w.line(`(call $${present(names[item.kernel])} ${args.join(' ')})`);
        }
      }
    };
    program.body.forEach(emitItem);
  });
  w.line(')');
  w.line(')');
  return w.text();
}

/** Words of the control block that count, and those that addresses are made of. */
const numbers = ['t', 'r', 'blocks', 'threads'] as const;
const places = ['weights', 'state', 'arena', 'slots'] as const;

/** Pages of the memory, at least and at most; shared memory has to say both. */
function limitsText({ threads, memory64 }: WasmOptions): string {
  const most = (memory64 ? wasmReach.wide : wasmReach.narrow) / 65_536;
  return `${memory64 ? 'i64 ' : ''}1${threads ? ` ${most} shared` : ''}`;
}

/** A word of the control block, at the place of the one that its words are as wide as addresses. */
const placeOf = (address: AddressType, word: number): string =>
  `offset=${word * (address === 'i64' ? 8 : 4)} (${address}.const 0)`;

/** The lower half of a word of 64 bits comes first. */
const wordText = (address: AddressType, word: number, type: AddressType): string =>
  `(${type}.load ${placeOf(address, word)})`;

function argumentText(address: AddressType, a: Argument): string {
  if (a.kind === 'step') return wordText(address, control[a.field], address);
  const start = `(${address}.const ${a.offset})`;
  const each = `(${address}.mul (local.get $i) (${address}.const ${a.stride}))`;
  const offset = a.stride === 0 ? start : `(${address}.add ${start} ${each})`;
  const base = `(local.get $${a.kind})`;
  const bytes = a.kind === 'state' ? `(${address}.mul (local.get $slots) ${offset})` : offset;
  return `(${address}.add ${base} ${bytes})`;
}

/**
 * A barrier of all threads: the last to arrive advances the generation, the others spin and then
 * sleep until it does. The sleep is a function of its own without a loop: V8 11.3 miscompiles loops
 * that contain memory.atomic.wait32.
 */
function emitBarrier(w: Writer, address: AddressType): void {
  const arrived = placeOf(address, control.arrived);
  const generation = placeOf(address, control.generation);
  w.line('(func $sleep (param $seen i32)');
  w.indent(() => {
    const wait = `(memory.atomic.wait32 ${generation} (local.get $seen) (i64.const -1))`;
    w.line(`(drop ${wait})`);
  });
  w.line(')');
  w.line('(func $barrier (param $threads i32) (local $seen i32) (local $left i32)');
  w.indent(() => {
    const now = `(i32.atomic.load ${generation})`;
    w.line('(if (i32.eq (local.get $threads) (i32.const 1)) (then (return)))');
    w.line(`(local.set $seen ${now})`);
    const arrive = `(i32.atomic.rmw.add ${arrived} (i32.const 1))`;
    w.line(`(if (i32.eq (i32.add ${arrive} (i32.const 1)) (local.get $threads))`);
    w.indent(() => {
      w.line('(then');
      w.indent(() => {
        w.line(`(i32.atomic.store ${arrived} (i32.const 0))`);
        w.line(`(drop (i32.atomic.rmw.add ${generation} (i32.const 1)))`);
        w.line(`(drop (memory.atomic.notify ${generation} (i32.const -1)))`);
        w.line('(return)))');
      });
    });
    w.line(`(local.set $left (i32.const ${spins}))`);
    w.line('(loop $spin');
    w.indent(() => {
      w.line(`(if (i32.ne ${now} (local.get $seen)) (then (return)))`);
      w.line('(br_if $spin (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))');
    });
    w.line('(loop $asleep');
    w.indent(() => {
      w.line('(call $sleep (local.get $seen))');
      w.line(`(br_if $asleep (i32.eq ${now} (local.get $seen))))`);
    });
  });
  w.line(')');
}

/** wabt's declarations leave out that validation takes the features too. */
interface Validates {
  validate(features: Readonly<Record<string, boolean>>): void;
}

/** The module's bytes. Throws if the text is not valid, which is a compiler bug. */
export async function assembleWasm(wat: string, name = 'program'): Promise<Uint8Array> {
  const { default: wabt } = await import('wabt');
  const tools = await wabt();
  const features = {
    simd: true,
    threads: true,
    relaxed_simd: true,
    bulk_memory: true,
    sat_float_to_int: true,
    memory64: true,
  };
  const parsed = tools.parseWat(`${name}.wat`, wat, features);
  try {
    (parsed as Validates).validate(features);
    // Kernels keep their names in profiles and stack traces.
    return parsed.toBinary({ write_debug_names: true }).buffer;
  } finally {
    parsed.destroy();
  }
}
