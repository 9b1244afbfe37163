/** Native steps in processes of their own: one for each thread, over a file that all map. */
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type LlvmVariant, emitLlvm } from '../../compiler/7-emit/llvm.ts';
import type { NativeTools } from '../../compiler/7-emit/native.ts';
import { llvmTools, openNativeTools } from '../../compiler/cli/native-tools.ts';
import type { Program } from '../../compiler/6-program/program.ts';
import { control } from '../../runtime/manifest.ts';
import type { StepRunner } from './kernel-run.ts';
import { temporaryFolder } from './models.ts';

const run = promisify(execFile);
const base = 0x10_0000_0000;
const controlBytes = 4096;

/** The tools that this machine lacks: those of the compiler, and those that look into its files. */
export const missingTools = (): readonly string[] =>
  [...llvmTools.map((t) => `${t}-14`), 'llvm-readobj-14', 'llvm-objdump-14', 'llvm-nm-14'].filter(
    (tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status !== 0,
  );

const missing = missingTools();
const cpu = process.platform === 'linux' ? readFileSync('/proc/cpuinfo', 'utf8') : '';
const flags = { avx2: ['avx2', 'fma', 'f16c'], avx512: ['avx512_vnni'] } as const;

/** Why native code for `isa` cannot run here, as a note for a test's name; '' if it can. */
export function lacksNative(isa: keyof typeof flags): string {
  const flag = flags[isa].find(
    (f) => process.arch !== 'x64' || !new RegExp(`\\b${f}\\b`).test(cpu),
  );
  if (flag !== undefined) return ` (skipped without ${flag})`;
  return missing.length > 0 ? ` (skipped without ${missing.join(', ')})` : '';
}

let tools: Promise<NativeTools> | undefined;

/** A file with the object code of a module. */
async function objectOf(ir: string, variant: LlvmVariant): Promise<string> {
  const { object } = await (tools ??= openNativeTools());
  const file = join(temporaryFolder(), 'm.o');
  writeFileSync(file, await object(ir, variant));
  return file;
}

/** `_start` for Linux on x64: maps the file argv[1] at `base`, runs step as the thread argv[2]. */
const start = (bytes: number): string => `
declare void @step(i8*, i32)
module asm ".globl _start"
module asm "_start: movq %rsp, %rdi"
module asm "andq $-64, %rsp"
module asm "call main"
define i64 @sys(i64 %n, i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %f) noinline {
  %r = call i64 asm sideeffect "syscall", "={rax},{rax},{rdi},{rsi},{rdx},{r10},{r8},{r9},~{rcx},~{r11},~{memory}"(i64 %n, i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %f)
  ret i64 %r
}
define void @main(i64* %sp) {
  %p1 = getelementptr i64, i64* %sp, i64 2
  %path = load i64, i64* %p1
  %p2 = getelementptr i64, i64* %sp, i64 3
  %digit = load i64, i64* %p2
  %at = inttoptr i64 %digit to i8*
  %char = load i8, i8* %at
  %number = sub i8 %char, 48
  %thread = zext i8 %number to i32
  %fd = call i64 @sys(i64 2, i64 %path, i64 2, i64 0, i64 0, i64 0, i64 0)
  %map = call i64 @sys(i64 9, i64 ${base}, i64 ${bytes}, i64 3, i64 17, i64 %fd, i64 0)
  %block = inttoptr i64 %map to i8*
  call void @step(i8* %block, i32 %thread)
  %gone = call i64 @sys(i64 231, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0)
  unreachable
}
`;

/** Runs steps as code for this variant, which this machine must be able to run. */
export function nativeRunner(variant: LlvmVariant, threads: number): StepRunner {
  let built: Promise<string> | undefined;
  const build = async (program: Program, bytes: number): Promise<string> => {
    const out = join(temporaryFolder(), 'step');
    const objects = await Promise.all(
      [emitLlvm(program, variant), start(bytes)].map((ir) => objectOf(ir, variant)),
    );
    await run('ld.lld-14', [...objects, '-o', out]);
    return out;
  };
  return async (program, m, sizes) => {
    const { scratchBytes } = program.memory;
    const memoryBytes = m.memory.byteLength;
    const scratch = Math.ceil((controlBytes + memoryBytes) / 64) * 64;
    const each = Math.ceil(scratchBytes / 64) * 64;
    const image = new Uint8Array(scratch + threads * each);
    const words = new DataView(image.buffer);
    const put = (word: number, value: number): void =>
      words.setBigUint64(word * 8, BigInt(value), true);
    const memory = base + controlBytes;
    const { weights, state, arena, slots, step } = m;
    const { t, r, blocks } = sizes;
    Object.entries({ t, r, blocks, threads, slots }).forEach(([k, v]) =>
      put(control[k as 'threads'], v),
    );
    put(control.weights, memory + weights);
    put(control.state, memory + state);
    put(control.arena, memory + arena);
    put(control.scratch, base + scratch);
    put(control.scratchBytes, each);
    for (const [field, at] of step) put(control[field as 'ids'], memory + at.address);
    const bytes = new Uint8Array(m.memory.buffer);
    image.set(bytes, controlBytes);
    const file = join(temporaryFolder(), 'memory');
    writeFileSync(file, image);
    built ??= build(program, image.byteLength);
    const binary = await built;
    await Promise.all(
      Array.from({ length: threads }, (_, i) =>
        run(binary, [file, String(i)], { timeout: 20_000 }),
      ),
    );
    bytes.set(readFileSync(file).subarray(controlBytes, controlBytes + memoryBytes));
  };
}
