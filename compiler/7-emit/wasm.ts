/** Program to WebAssembly: printed as text, assembled by wabt (which is imported nowhere else). */
import { present } from '../base/invariant.ts';
import { makeWriter, type Writer } from '../base/writer.ts';
import { control } from '../../runtime/manifest.ts';
import type { Argument, Item, Program } from '../6-program/program.ts';
import { emitKernel, watName } from './wat-kernel.ts';

export interface WasmOptions {
  /** Shared memory and barriers. */
  readonly threads: boolean;
  /** Relaxed SIMD: products and sums may be fused. */
  readonly relaxed: boolean;
}

/** How often a waiting thread looks before it sleeps. */
const spins = 20_000;

export function emitWasm(program: Program, options: WasmOptions): string {
  const names = program.kernels.map((k, i) => `k${i}_${watName(k.name)}`);
  const w = makeWriter();
  w.line(`;; ${program.name}: one step, run by every thread of the team`);
  w.line('(module');
  const limits = options.threads ? '1 65536 shared' : '1';
  w.line(`(import "env" "memory" (memory ${limits}))`);
  if (options.threads) emitBarrier(w);
  program.kernels.forEach((k, i) => {
    emitKernel(k, present(names[i]), options.relaxed)
      .trimEnd()
      .split('\n')
      .forEach((l) => w.line(l));
  });
  w.line('(func $step (export "step") (param $thread i32)');
  w.indent(() => {
    for (const local of [
      't',
      'r',
      'blocks',
      'threads',
      'scratch',
      'i',
      'weights',
      'state',
      'arena',
      'slots',
      'generation',
    ]) {
      w.line(`(local $${local} i32)`);
    }
    for (const word of [
      't',
      'r',
      'blocks',
      'threads',
      'weights',
      'state',
      'arena',
      'slots',
    ] as const) {
      w.line(`(local.set $${word} ${word0(control[word])})`);
    }
    const scratch = `(i32.add ${word0(control.scratch)} (i32.mul (local.get $thread) ${word0(control.scratchBytes)}))`;
    w.line(`(local.set $scratch ${scratch})`);
    let loops = 0;
    const emitItem = (item: Item): void => {
      switch (item.kind) {
        case 'barrier':
          if (options.threads) w.line('(call $barrier (local.get $threads))');
          break;
        case 'loop': {
          const label = `layers_${loops++}`;
          w.line('(local.set $i (i32.const 0))');
          w.line(`(loop $${label}`);
          w.indent(() => {
            item.body.forEach(emitItem);
            const next = '(local.tee $i (i32.add (local.get $i) (i32.const 1)))';
            w.line(`(br_if $${label} (i32.lt_u ${next} (i32.const ${item.count})))`);
          });
          w.line(')');
          break;
        }
        case 'launch': {
          const kernel = present(program.kernels[item.kernel]);
          const scalars = kernel.scalars.map((s) => `(local.get $${s})`);
          const args = [
            ...item.args.map(argumentText),
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

const word0 = (word: number): string => `(i32.load offset=${word * 4} (i32.const 0))`;

function argumentText(a: Argument): string {
  if (a.kind === 'step') return word0(control[a.field]);
  const each = a.stride === 0 ? '' : `(i32.mul (local.get $i) (i32.const ${a.stride}))`;
  const offset =
    each === '' ? `(i32.const ${a.offset})` : `(i32.add (i32.const ${a.offset}) ${each})`;
  const base = `(local.get $${a.kind})`;
  if (a.kind === 'state') return `(i32.add ${base} (i32.mul (local.get $slots) ${offset}))`;
  return `(i32.add ${base} ${offset})`;
}

/**
 * A barrier of all threads: the last to arrive advances the generation, the others spin and then
 * sleep until it does. The sleep is a function of its own without a loop: V8 11.3 miscompiles loops
 * that contain memory.atomic.wait32.
 */
function emitBarrier(w: Writer): void {
  const arrived = control.arrived * 4;
  const generation = control.generation * 4;
  w.line('(func $sleep (param $seen i32)');
  w.indent(() => {
    const wait = `(memory.atomic.wait32 offset=${generation} (i32.const 0) (local.get $seen) (i64.const -1))`;
    w.line(`(drop ${wait})`);
  });
  w.line(')');
  w.line('(func $barrier (param $threads i32) (local $seen i32) (local $left i32)');
  w.indent(() => {
    const now = `(i32.atomic.load offset=${generation} (i32.const 0))`;
    w.line('(if (i32.eq (local.get $threads) (i32.const 1)) (then (return)))');
    w.line(`(local.set $seen ${now})`);
    const arrive = `(i32.atomic.rmw.add offset=${arrived} (i32.const 0) (i32.const 1))`;
    w.line(`(if (i32.eq (i32.add ${arrive} (i32.const 1)) (local.get $threads))`);
    w.indent(() => {
      w.line('(then');
      w.indent(() => {
        w.line(`(i32.atomic.store offset=${arrived} (i32.const 0) (i32.const 0))`);
        w.line(`(drop (i32.atomic.rmw.add offset=${generation} (i32.const 0) (i32.const 1)))`);
        w.line(`(drop (memory.atomic.notify offset=${generation} (i32.const 0) (i32.const -1)))`);
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
