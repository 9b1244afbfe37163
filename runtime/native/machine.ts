/** What this machine's processor can do, and which of a bundle's libraries fits it. */
import { DeviceError } from '../errors.ts';
import type { NativeProgram } from '../manifest.ts';
import { codePage } from './code-page.ts';
import type { Koffi } from './koffi.ts';
import type { NodeModules } from './node.ts';

type Variant = NativeProgram['variants'][number];

export interface Machine {
  /** Absent on systems that no library is made for. */
  readonly os?: Variant['os'];
  readonly isas: readonly Variant['isa'][];
  /** In words, for messages. */
  readonly words: string;
}

const systems: Readonly<Record<string, Variant['os']>> = {
  linux: 'linux',
  darwin: 'macos',
  win32: 'windows',
};

/** What each instruction set takes, by the names of Linux. */
const needs: Readonly<Record<Variant['isa'], readonly string[]>> = {
  avx2: ['avx2', 'fma', 'f16c'],
  avx512: ['avx2', 'fma', 'f16c', 'avx512f', 'avx512bw', 'avx512dq', 'avx512vl', 'avx512_vnni'],
  arm64: ['asimddp'],
};
const isasOfArch: Readonly<Record<string, readonly Variant['isa'][]>> = {
  x64: ['avx512', 'avx2'],
  arm64: ['arm64'],
};

/** The first of the bundle's libraries that fits. Throws DeviceError `device/machine` where none does. */
export function chooseVariant(variants: readonly Variant[], machine: Machine): Variant {
  const found = variants.find((v) => v.os === machine.os && machine.isas.includes(v.isa));
  if (found) return found;
  const has = variants.map((v) => `${v.os} ${v.isa}`).join(', ');
  throw new DeviceError(
    'device/machine',
    `the bundle has native code for ${has === '' ? 'no machine' : has}; this is ${machine.words}`,
  );
}

export function readMachine(koffi: Koffi, node: NodeModules): Machine {
  const os = systems[process.platform];
  const place = `${os ?? process.platform} on ${process.arch}`;
  if (!os) return { isas: [], words: place };
  const has = features(os, process.arch, koffi, node);
  const isas = (isasOfArch[process.arch] ?? []).filter((isa) => needs[isa].every((f) => has(f)));
  return {
    os,
    isas,
    words: `${place} with ${isas.length === 0 ? 'none of their instruction sets' : isas.join(' and ')}`,
  };
}

type Has = (feature: string) => boolean;

/**
 * Features that the processor has and the operating system allows: it must save their registers when
 * it switches threads. Linux and macOS say both in one; elsewhere the processor is asked for both.
 */
function features(os: Variant['os'], arch: string, koffi: Koffi, node: NodeModules): Has {
  switch (os) {
    case 'linux':
      return linuxFeatures(cpuInfo(node));
    case 'macos':
      return macosFeatures(koffi);
    case 'windows':
      return arch === 'x64' ? cpuidFeatures(koffi, node) : windowsArmFeatures(koffi);
  }
}

/** By the first processor of /proc/cpuinfo, which omits what the kernel has not enabled. */
export function linuxFeatures(info: string): Has {
  const line = /^(?:flags|Features)\s*:(.*)$/m.exec(info)?.[1] ?? '';
  const found = new Set(line.trim().split(/\s+/));
  return (feature) => found.has(feature);
}

/** The beginning is enough: on machines with many cores the whole takes long to make. */
function cpuInfo({ fs }: NodeModules): string {
  try {
    const file = fs.openSync('/proc/cpuinfo', 'r');
    try {
      const bytes = new Uint8Array(16_384);
      let end = 0;
      for (;;) {
        const n = fs.readSync(file, bytes, end, bytes.byteLength - end, null);
        end += n;
        if (n === 0 || end === bytes.byteLength) break;
      }
      return new TextDecoder().decode(bytes.subarray(0, end));
    } finally {
      fs.closeSync(file);
    }
  } catch {
    return '';
  }
}

/** Names of macOS; the AVX-512 registers are there once a thread uses them. */
const macosNames: Readonly<Record<string, string>> = {
  avx2: 'hw.optional.avx2_0',
  fma: 'hw.optional.fma',
  f16c: 'hw.optional.f16c',
  avx512f: 'hw.optional.avx512f',
  avx512bw: 'hw.optional.avx512bw',
  avx512dq: 'hw.optional.avx512dq',
  avx512vl: 'hw.optional.avx512vl',
  avx512_vnni: 'hw.optional.avx512vnni',
  asimddp: 'hw.optional.arm.FEAT_DotProd',
};

function macosFeatures(koffi: Koffi): Has {
  const ask: (
    name: string,
    value: Int32Array,
    size: BigUint64Array,
    to: null,
    n: number,
  ) => number = koffi
    .load(null)
    .func('sysctlbyname', 'int', ['str', 'void *', 'void *', 'void *', 'size_t']);
  return (feature) => {
    const name = macosNames[feature];
    const value = new Int32Array(1);
    return (
      name !== undefined &&
      ask(name, value, new BigUint64Array([4n]), null, 0) === 0 &&
      value[0] === 1
    );
  };
}

/** PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE. */
const windowsDotProducts = 43;

function windowsArmFeatures(koffi: Koffi): Has {
  const ask: (feature: number) => number = koffi
    .load('kernel32.dll')
    .func('IsProcessorFeaturePresent', 'int', ['uint32_t']);
  return (feature) => feature === 'asimddp' && ask(windowsDotProducts) !== 0;
}

/** Leaf of CPUID, register and bit. Leaf 1 needs no subleaf, leaf 7 has subleaf 0. */
const cpuidBits: Readonly<Record<string, readonly [1 | 7, 'ebx' | 'ecx', number]>> = {
  fma: [1, 'ecx', 12],
  f16c: [1, 'ecx', 29],
  avx2: [7, 'ebx', 5],
  avx512f: [7, 'ebx', 16],
  avx512dq: [7, 'ebx', 17],
  avx512bw: [7, 'ebx', 30],
  avx512vl: [7, 'ebx', 31],
  avx512_vnni: [7, 'ecx', 11],
};
/** Bits of XCR0: SSE and AVX registers; with the masks and both upper parts of AVX-512. */
const savesAvx = 0x06;
const savesAvx512 = 0xe6;

/**
 * By the processor's own word, where the system offers no full list: instructions that no compiler is
 * needed for, alike in every calling convention, as they take nothing and answer in eax.
 */
export function cpuidFeatures(koffi: Koffi, node: NodeModules): Has {
  const page = codePage(koffi, node);
  try {
    // push rbx; mov eax, leaf; xor ecx, ecx; cpuid; mov eax, register; pop rbx; ret
    const cpuid = (leaf: number, register: 'eax' | 'ebx' | 'ecx'): number => {
      const move = { eax: 0xc0, ebx: 0xd8, ecx: 0xc8 }[register];
      const code = [0x53, 0xb8, leaf, 0, 0, 0, 0x31, 0xc9, 0x0f, 0xa2, 0x89, move, 0x5b, 0xc3];
      return page.run(code);
    };
    // xor ecx, ecx; xgetbv; ret
    const xcr0 = (): number => page.run([0x31, 0xc9, 0x0f, 0x01, 0xd0, 0xc3]);
    const most = cpuid(0, 'eax');
    const usesXsave = ((cpuid(1, 'ecx') >>> 27) & 1) === 1;
    const saved = usesXsave ? xcr0() : 0;
    const words = new Map<string, number>(
      ([1, 7] as const).flatMap((leaf) =>
        (['ebx', 'ecx'] as const).map((r): [string, number] => [
          `${leaf}${r}`,
          leaf <= most ? cpuid(leaf, r) : 0,
        ]),
      ),
    );
    return (feature) => {
      const place = cpuidBits[feature];
      if (!place) return false;
      const [leaf, register, bit] = place;
      const wants = feature.startsWith('avx512') ? savesAvx512 : savesAvx;
      return (
        (saved & wants) === wants && (((words.get(`${leaf}${register}`) ?? 0) >>> bit) & 1) === 1
      );
    };
  } finally {
    page.release();
  }
}
