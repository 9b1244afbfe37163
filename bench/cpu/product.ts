/** What of Cograph is measured: the runtime as plain JavaScript, and bundles of GGUF files, both cached. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import ts from 'typescript';
import { nativeVariants, variantName } from '../../compiler/7-emit/native.ts';
import { type Tools, type TargetName, root } from './tools.ts';

/** Native code for this machine alone: the bundle does not travel. */
function ownVariants(): string {
  const os = { linux: 'linux', darwin: 'macos', win32: 'windows' }[String(process.platform)];
  const own = nativeVariants.filter(
    (v) => v.os === os && (v.isa === 'arm64') === (process.arch === 'arm64'),
  );
  return own.map(variantName).join(',');
}

const textsUnder = (folder: string): readonly string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((f) => /\.(ts|js|json)$/.test(f))
    .map((f) => join(folder, f))
    .sort();

function hashOf(files: readonly string[], more: readonly string[] = []): string {
  const hash = createHash('sha256');
  for (const f of files) hash.update(`${f}\0`).update(readFileSync(join(root, f)));
  for (const m of more) hash.update(`${m}\0`);
  return hash.digest('hex').slice(0, 12);
}

/**
 * The runtime compiled as the package's build compiles it: a process that loads TypeScript as it goes
 * would hold a compiler in memory. The path of its `index.js`.
 */
export function compiledRuntime(cache: string): string {
  const files = textsUnder('runtime');
  const folder = join(cache, `runtime-${hashOf(files)}`);
  const index = join(folder, 'runtime', 'index.js');
  if (existsSync(index)) return index;
  const partial = `${folder}.${process.pid}.partial`;
  for (const f of files) {
    const out = join(partial, f.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(out), { recursive: true });
    const text = readFileSync(join(root, f), 'utf8');
    writeFileSync(out, f.endsWith('.ts') ? plain(text, f) : text);
  }
  rmSync(folder, { recursive: true, force: true });
  renameSync(partial, folder);
  return index;
}

const plain = (text: string, fileName: string): string =>
  ts.transpileModule(text, {
    fileName,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ES2022,
      verbatimModuleSyntax: true,
      rewriteRelativeImportExtensions: true,
    },
  }).outputText;

/**
 * The bundle of a GGUF file for a target, compiled by the command line once for each state of the sources
 * and of the file. A bundle for native code runs as wasm too: one copy of the weights serves both.
 */
export async function bundleOf(gguf: string, target: TargetName, tools: Tools): Promise<string> {
  const { size, mtimeMs } = statSync(gguf);
  const sources = [...['compiler', 'stdlib'].flatMap(textsUnder), 'runtime/manifest.ts'];
  const key = hashOf(sources, [gguf, String(size), String(mtimeMs)]);
  const folder = join(tools.cache, 'bundles');
  const name = basename(gguf, '.gguf');
  const place = (targets: string): string => join(folder, `${name}-${targets}-${key}`);
  const targets = target === 'native' ? 'wasm,native' : target;
  const found = [targets, 'wasm,native'].map(place).find((p) => existsSync(p));
  if (found !== undefined) return found;
  mkdirSync(folder, { recursive: true });
  // Bundles of earlier states are not read again.
  for (const old of readdirSync(folder)) {
    if (old.startsWith(`${name}-`) && !old.endsWith(key))
      rmSync(join(folder, old), { recursive: true, force: true });
  }
  tools.note(`compiling ${name} for ${targets}`);
  const main = join(root, 'compiler/cli/main.ts');
  const variants = targets.includes('native') ? ['--variants', ownVariants()] : [];
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', '--conditions=source', main, 'compile', gguf, '--target', targets, ...variants, '--out', place(targets)], // prettier-ignore
    { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const forget = tools.watch(child);
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4000);
    tools.progress(text);
  });
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  forget();
  if (status !== 0) throw new Error(`cograph compile --target ${targets}: ${said.trim()}`);
  return place(targets);
}
