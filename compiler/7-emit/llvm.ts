/**
 * Program to LLVM IR, as text that LLVM 14 reads. The module is freestanding: it names no function
 * that a C library would have to bring. Optimising and linking it is the caller's business.
 */
import { present } from '../base/invariant.ts';
import { type NativeProgram, control } from '../../runtime/manifest.ts';
import type { Argument, Item, Program } from '../6-program/program.ts';
import { emitLlvmKernel, makeBody } from './llvm-kernel.ts';
import { type LlvmBody, type LlvmFeatures, assign } from './llvm-value.ts';

/** A processor and an operating system that a module is made for. */
export type LlvmVariant = Pick<NativeProgram['variants'][number], 'os' | 'isa'>;

/** The words of the control block have 64 bits here: they hold addresses. */
const wordBytes = 8;
/** How often a waiting thread looks before it sleeps: some tens of microseconds, as waking takes. */
const spins = 2_000;

const triples = {
  linux: { x64: 'x86_64-unknown-linux-gnu', arm64: 'aarch64-unknown-linux-gnu' },
  macos: { x64: 'x86_64-apple-macosx11.0.0', arm64: 'arm64-apple-macosx11.0.0' },
  windows: { x64: 'x86_64-w64-windows-gnu', arm64: 'aarch64-w64-windows-gnu' },
} as const;

const targetFeatures = {
  avx2: '+avx2,+fma,+f16c',
  avx512: '+avx2,+fma,+f16c,+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512vnni,-prefer-256-bit',
  arm64: '+neon,+dotprod',
} as const;

/** The LLVM triple of a variant. */
export const llvmTriple = (v: LlvmVariant): string =>
  triples[v.os][v.isa === 'arm64' ? 'arm64' : 'x64'];

/**
 * The module: `step(i8* control, i32 thread)` runs one step and returns; every thread of the team
 * calls it with the same control block, whose words are those of `control` in 64 bits each.
 */
export function emitLlvm(program: Program, variant: LlvmVariant): string {
  const features: LlvmFeatures = {
    arch: variant.isa === 'arm64' ? 'arm64' : 'x64',
    vnni: variant.isa === 'avx512',
  };
  const declared = new Set<string>();
  const names = program.kernels.map((k, i) => `k${i}_${k.name.replace(/[^A-Za-z0-9_]/g, '_')}`);
  const kernels = program.kernels.map((k, i) =>
    emitLlvmKernel(k, present(names[i]), features, declared),
  );
  const step = emitStep(program, names, declared, variant);
  const attributes = [
    'nounwind "no-builtins" "frame-pointer"="none"',
    `"target-features"="${targetFeatures[variant.isa]}"`,
    ...(variant.isa === 'avx512' ? ['"prefer-vector-width"="512"'] : []),
  ];
  return [
    `; ${program.name}: one step, run by every thread of the team`,
    `target triple = "${llvmTriple(variant)}"`,
    '',
    ...(variant.os === 'windows' ? [stackProbes[features.arch]] : []),
    ...kernels,
    emitBarrier(variant, features.arch),
    step,
    ...[...declared].sort().map((d) => `declare ${d}`),
    `attributes #0 = { ${attributes.join(' ')} }`,
    '',
  ].join('\n');
}

/**
 * Windows gives a stack page by page, so code with a frame of more than a page calls a function of
 * the C runtime that touches each: these are it, for there is no C runtime here.
 */
const stackProbes = {
  // rax: bytes; every register is kept.
  x64: assembly(`___chkstk_ms:
    pushq %rcx
    pushq %rax
    leaq 24(%rsp), %rcx
    1: cmpq $4096, %rax
    jb 2f
    subq $4096, %rcx
    orq $0, (%rcx)
    subq $4096, %rax
    jmp 1b
    2: subq %rax, %rcx
    orq $0, (%rcx)
    popq %rax
    popq %rcx
    ret`),
  // x15: units of 16 bytes, kept; x16 and x17 are free to use.
  arm64: assembly(`__chkstk:
    lsl x16, x15, #4
    mov x17, sp
    1: cmp x16, #4096
    b.lo 2f
    sub x17, x17, #4096
    ldr xzr, [x17]
    sub x16, x16, #4096
    b 1b
    2: sub x17, x17, x16
    ldr xzr, [x17]
    ret`),
} as const;

function assembly(text: string): string {
  const lines = ['.text', '.p2align 4', ...text.split('\n').map((l) => l.trim())];
  return lines.map((l) => `module asm "${l}"\n`).join('');
}

function wordAt(body: LlvmBody, word: number): string {
  const at = assign(body, `getelementptr i8, i8* %control, i64 ${word * wordBytes}`);
  return assign(body, `bitcast i8* ${at} to i64*`);
}

const readWord = (body: LlvmBody, word: number): string =>
  assign(body, `load i64, i64* ${wordAt(body, word)}, align 8`);

function emitStep(
  program: Program,
  names: readonly string[],
  declared: Set<string>,
  variant: LlvmVariant,
): string {
  const body = makeBody(declared);
  const whole = (word: number): string => assign(body, `trunc i64 ${readWord(body, word)} to i32`);
  const scalars = { t: whole(control.t), r: whole(control.r), blocks: whole(control.blocks) };
  const threads = whole(control.threads);
  const slots = readWord(body, control.slots);
  const bases = {
    weights: readWord(body, control.weights),
    state: readWord(body, control.state),
    arena: readWord(body, control.arena),
  };
  const mine = assign(body, `zext i32 %thread to i64`);
  const before = assign(body, `mul i64 ${mine}, ${readWord(body, control.scratchBytes)}`);
  const scratchAt = assign(body, `add i64 ${readWord(body, control.scratch)}, ${before}`);
  const scratch = assign(body, `inttoptr i64 ${scratchAt} to i8*`);
  const argument = (a: Argument, i: string): string => {
    if (a.kind === 'step') {
      return assign(body, `inttoptr i64 ${readWord(body, control[a.field])} to i8*`);
    }
    const each = assign(body, `mul i64 ${i}, ${a.stride}`);
    const offset = assign(body, `add i64 ${each}, ${a.offset}`);
    const bytes = a.kind === 'state' ? assign(body, `mul i64 ${offset}, ${slots}`) : offset;
    const at = assign(body, `add i64 ${bases[a.kind]}, ${bytes}`);
    return assign(body, `inttoptr i64 ${at} to i8*`);
  };
  const emitItem = (item: Item, i: string): void => {
    switch (item.kind) {
      case 'barrier':
        body.line(`call void @barrier(i8* %control, i32 ${threads})`);
        break;
      case 'loop': {
        const n = body.label();
        body.line(`store i64 0, i64* %layer`);
        body.line(`br label %layers${n}`);
        body.line(`layers${n}:`);
        const now = assign(body, 'load i64, i64* %layer');
        item.body.forEach((x) => emitItem(x, now));
        const next = assign(body, `add i64 ${now}, 1`);
        body.line(`store i64 ${next}, i64* %layer`);
        const again = assign(body, `icmp ult i64 ${next}, ${item.count}`);
        body.line(`br i1 ${again}, label %layers${n}, label %done${n}`);
        body.line(`done${n}:`);
        break;
      }
      case 'launch': {
        const kernel = present(program.kernels[item.kernel]);
        const args = [
          ...item.args.map((a) => `i8* ${argument(a, i)}`),
          ...kernel.scalars.map((x) => `i32 ${scalars[x]}`),
          `i32 %thread, i32 ${threads}, i8* ${scratch}`,
        ];
        body.line(`call void @${present(names[item.kernel])}(${args.join(', ')})`);
      }
    }
  };
  program.body.forEach((x) => emitItem(x, '0'));
  const exported = variant.os === 'windows' ? 'dllexport ' : '';
  return [
    `define ${exported}void @step(i8* %control, i32 %thread) #0 {`,
    '  %layer = alloca i64',
    ...body.lines.map((l) => `  ${l}`),
    '  ret void',
    '}',
    '',
  ].join('\n');
}

/**
 * A barrier of all threads: the last to arrive advances the generation, the others look until it does.
 * On Linux they sleep after a while, and are woken: whoever else wants the core, the thread waited for
 * perhaps, has it meanwhile. A sleeper counts itself before the kernel looks at the generation again,
 * and the last to arrive looks for sleepers after it has advanced it, so none is missed.
 */
function emitBarrier(variant: LlvmVariant, arch: LlvmFeatures['arch']): string {
  const word = (
    name: string,
    index: number,
  ): string => `  %${name}8 = getelementptr i8, i8* %control, i64 ${index * wordBytes}
  %${name} = bitcast i8* %${name}8 to i32*`;
  const pause = arch === 'x64' ? 'pause' : 'yield';
  const sleeps = variant.os === 'linux';
  const wake = `  %sleeping = load atomic i32, i32* %s seq_cst, align 4
  %none = icmp eq i32 %sleeping, 0
  br i1 %none, label %out, label %wake
wake:
  ${futex(arch, 1, 'i64 2147483647')}
  ret void`;
  const sleep = `  %more = atomicrmw add i32* %s, i32 1 seq_cst
  %was = zext i32 %seen to i64
  ${futex(arch, 0, 'i64 %was')}
  %less = atomicrmw sub i32* %s, i32 1 seq_cst
  br label %look`;
  return `define internal void @barrier(i8* %control, i32 %threads) noinline #0 {
entry:
  %alone = icmp eq i32 %threads, 1
  br i1 %alone, label %out, label %arrive
arrive:
${word('g', control.generation)}
${word('a', control.arrived)}
${word('s', control.sleepers)}
  %seen = load atomic i32, i32* %g acquire, align 4
  %before = atomicrmw add i32* %a, i32 1 acq_rel
  %count = add i32 %before, 1
  %last = icmp eq i32 %count, %threads
  br i1 %last, label %release, label %look
release:
  store atomic i32 0, i32* %a monotonic, align 4
  %old = atomicrmw add i32* %g, i32 1 seq_cst
${sleeps ? wake : '  ret void'}
look:
  %left = phi i32 [ ${spins}, %arrive ], [ %fewer, %spin ], [ ${spins}, %sleep ]
  %now = load atomic i32, i32* %g acquire, align 4
  %same = icmp eq i32 %now, %seen
  br i1 %same, label %wait, label %out
wait:
  %tired = icmp eq i32 %left, 0
  br i1 %tired, label %sleep, label %spin
spin:
  call void asm sideeffect "${pause}", "~{memory}"()
  %fewer = sub i32 %left, 1
  br label %look
sleep:
${sleeps ? sleep : '  br label %look'}
out:
  ret void
}
`;
}

/** FUTEX_WAIT (0) or FUTEX_WAKE (1) on the generation; threads may be of several processes. */
function futex(arch: LlvmFeatures['arch'], op: 0 | 1, value: string): string {
  const asm = {
    x64: `"syscall", "={rax},{rax},{rdi},{rsi},{rdx},{r10},~{rcx},~{r11},~{memory}"(i64 202,`,
    arm64: `"svc #0", "={x0},{x8},{x0},{x1},{x2},{x3},~{memory}"(i64 98,`,
  };
  return `%futex${op} = call i64 asm sideeffect ${asm[arch]} i32* %g, i64 ${op}, ${value}, i64 0)`;
}
