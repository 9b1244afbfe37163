/** The command line as a process: results, JSON, exit codes, what is left behind. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { argmax, deviationOf, fixture, maxError, readGolden } from './helpers/golden.ts';
import { temporaryFolder } from './helpers/models.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const command = ['--conditions=source', '--import', 'tsx', 'compiler/cli/main.ts'];
const folder = temporaryFolder();
const llama = fixture('goldens/llama');
const bundle = join(folder, 'llama');

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const cograph = (...args: readonly string[]): Outcome =>
  spawnSync(process.execPath, [...command, ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });

function json(...args: readonly string[]): Record<string, unknown> {
  const { status, stdout, stderr } = cograph(...args, '--json');
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

const golden = readGolden(llama);
const ids = join(folder, 'ids.json');
writeFileSync(ids, JSON.stringify(golden.prompt));
const compiled = cograph('compile', llama, '--out', bundle);

describe('compile', () => {
  test('writes a bundle and says what it costs', () => {
    expect(compiled.status).toBe(0);
    expect(compiled.stdout).toBe('');
    expect(compiled.stderr).toMatch(
      /of weights, .* read and .* MFLOP done per token, \d+ bytes of KV/,
    );
    expect(readdirSync(bundle).sort()).toEqual(
      expect.arrayContaining(['index.d.ts', 'index.js', 'manifest.json', 'weights']),
    );
    expect(readdirSync(folder).filter((f) => f.includes('partial'))).toEqual([]);
  });

  test.each([
    ['ast', /^rmsNorm\(x: \[\.\., n\]/m],
    ['model', /^model decoder\(ids: i32\[t\]/m],
    ['graph', /= attend\(%\d+, %\d+, %\d+\)/],
    ['plan', /contract .*columns/s],
    ['kernel', /^kernel attend/m],
    ['program', /^ {4}launch attend/m],
    ['code', /\(func \$step \(export "step"\)/],
  ])('--emit %s', (stage, pattern) => {
    const { status, stdout } = cograph('compile', llama, '--emit', stage);
    expect(status).toBe(0);
    expect(stdout).toMatch(pattern);
  });

  test('--emit code --target wasm,native: each as its bundle holds it', () => {
    const emit = ['--emit', 'code', '--target', 'wasm,native'];
    const { status, stdout } = cograph('compile', llama, ...emit);
    expect(status).toBe(0);
    expect(stdout).toMatch(/\(func \$step \(export "step"\)/);
    // Lanes of native machines; those of wasm are four.
    expect(stdout).toContain('<16 x float>');
  });

  test('--trace tells the rewrites', () => {
    const { stderr } = cograph('compile', llama, '--emit', 'plan', '--trace');
    expect(stderr).toMatch(/^rewrite x @ transpose\(w\)/m);
    expect(stderr).toMatch(/^\+ %\d+.*nk = true/m);
  });

  test('of a model file', () => {
    const { status, stdout } = cograph('compile', 'examples/bard/model.ts', '--emit', 'ast');
    expect(status).toBe(0);
    expect(stdout).toContain('attention(x: [t, d]; heads: int');
  });
});

describe('with a bundle, a folder and the reference', () => {
  test.each([
    ['bundle', [bundle]],
    ['folder', [llama]],
    ['reference', [llama, '--target', 'reference']],
  ])('generate --json: %s', (_, subject) => {
    const args = ['--ids', ids, '--greedy', '--ignore-eos', '--max-tokens'];
    const out = json('generate', ...subject, ...args, String(golden.greedy.length));
    expect(out['ids']).toEqual(golden.greedy);
    expect(out['finish']).toBe('length');
    expect(Object.keys(out).sort()).toEqual(['finish', 'ids', 'text', 'timings']);
  });

  test.each([
    ['bundle', [bundle]],
    ['reference', [llama, '--target', 'reference']],
  ])('logits: %s', (name, subject) => {
    const file = join(folder, `${name}.safetensors`);
    expect(json('logits', ...subject, '--ids', ids, '--out', file)).toMatchObject({ out: file });
    const bytes = readFileSync(file);
    const start = 8 + Number(bytes.readBigUInt64LE(0));
    const { logits } = JSON.parse(bytes.toString('utf8', 8, start)) as {
      logits: { dtype: string; shape: [number, number] };
    };
    expect(logits.dtype).toBe('F32');
    const [rows, width] = logits.shape;
    const values = new Float32Array(new Uint8Array(bytes.subarray(start)).buffer);
    const found = Array.from({ length: rows }, (_, r) => values.slice(r * width, (r + 1) * width));
    expect(maxError(golden.logits, found) / deviationOf(golden.logits)).toBeLessThan(2e-4);
    expect(argmax(found.at(-1) ?? [])).toBe(golden.greedy[0]);
  });

  test('--sheet FILE: what inspect says of parts is what compile does with them', () => {
    const model = 'examples/bard/model.ts';
    const sheet = 'test/fixtures/sheets.ts';
    const rows = json('inspect', model, '--sheet', sheet)['sheet'] as readonly { part: string }[];
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.every((r) => /^layers\.[1-9]/.test(r.part))).toBe(true);
    const { status, stdout } = cograph('compile', model, '--sheet', sheet, '--emit', 'graph');
    expect(status).toBe(0);
    expect(stdout).toMatch(/bf16\[.*\] = weight "layers\.(\{|1)/);
  });

  test('--kv: caches of half the size; one of a bundle is as it was compiled', () => {
    const bytes = (...flags: readonly string[]): unknown =>
      json('compile', llama, '--out', join(folder, 'kv'), ...flags)['kvBytesPerToken'];
    expect(bytes('--kv', 'f16')).toBe(Number(bytes()) / 2);
    const run = ['generate', bundle, '--ids', ids, '--kv', 'f16', '--json'];
    const { status, stdout } = cograph(...run);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'usage/kv' } });
  });

  test('inspect: the folder and its bundle agree', () => {
    const [a, b] = [json('inspect', llama), json('inspect', bundle)];
    for (const key of ['name', 'parameters', 'kvBytesPerToken', 'vocab', 'flopsPerToken']) {
      expect(a[key], key).toEqual(b[key]);
    }
    expect(cograph('inspect', llama).stdout).toMatch(/layers\.0\.self_attn\.q_proj +bf16|f32/);
  });
});

test('perplexity --json of the bard’s first lines', () => {
  const text = join(folder, 'text.txt');
  writeFileSync(text, readFileSync(fixture('valid.txt'), 'utf8').slice(0, 3000));
  const out = json('perplexity', 'examples/bard/model.ts', '--text', text, '--context', '128');
  expect(Object.keys(out).sort()).toEqual(['perplexity', 'tokens']);
  expect(Number(out['tokens']) % 128).toBe(0);
  expect(Number(out['perplexity'])).toBeGreaterThan(10);
  expect(Number(out['perplexity'])).toBeLessThan(120);
});

describe('a user’s mistake exits with 1 and says what to do', () => {
  const broken = join(folder, 'broken.ts');
  writeFileSync(broken, 'export default 7;');
  const empty = temporaryFolder();
  const far = join(folder, 'far.json');
  writeFileSync(far, '[1, 2, 999999]');
  const long = join(folder, 'long.json');
  writeFileSync(long, JSON.stringify(Array.from({ length: 300 }, () => 1)));
  test.each([
    ['no command', [], /Usage: cograph/],
    ['unknown command', ['frobnicate'], /unknown command 'frobnicate'/],
    ['no such place', ['inspect', join(folder, 'nowhere')], /usage\/missing/],
    ['an empty folder', ['inspect', empty], /usage\/folder.*manifest\.json.*config\.json/],
    ['no model inside', ['inspect', broken], /usage\/export.*export default bind/],
    ['neither --out nor --emit', ['compile', llama], /usage\/out/],
    ['an unknown stage', ['compile', llama, '--emit', 'soup'], /Allowed choices are ast, model/],
    [
      'an unknown target',
      ['generate', llama, '--target', 'abacus'],
      /Allowed choices are auto, native, webgpu, wasm, ref/,
    ],
    ['no prompt', ['generate', bundle], /usage\/prompt/],
    ['no tokenizer', ['generate', bundle, '--prompt', 'x'], /input\/tokenizer/],
    [
      'a bad option',
      ['generate', bundle, '--ids', ids, '--top-p', '2'],
      /input\/option.*topP is 2/,
    ],
    ['no number', ['generate', bundle, '--ids', ids, '--top-k', 'x'], /expected a whole number/],
    ['ids outside', ['generate', bundle, '--ids', far], /input\/id.*999999.*vocabulary/],
    [
      'too long a prompt',
      ['generate', bundle, '--ids', long],
      /input\/context.*300 tokens|30\d tokens/,
    ],
    ['ids that are none', ['generate', bundle, '--ids', broken], /usage\/ids/],
    [
      'reference of a bundle',
      ['generate', bundle, '--ids', ids, '--target', 'reference'],
      /target\/bundle/,
    ],
  ])('%s', (_, args, message) => {
    const { status, stderr } = cograph(...args);
    expect(stderr).toMatch(message);
    expect(status).toBe(1);
  });

  test('with --json, as one object', () => {
    const { status, stdout } = cograph('inspect', empty, '--json');
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'usage/folder' } });
  });
});

test.each(['compile', 'generate', 'logits', 'perplexity', 'inspect'])(
  '%s --help teaches',
  (name) => {
    const { status, stdout } = cograph(name, '--help');
    expect(status).toBe(0);
    expect(stdout).toMatch(/Examples?:\n {2}cograph /);
  },
);

test('Ctrl-C ends with 130 and leaves no folder behind', async () => {
  const out = join(folder, 'interrupted');
  const child = spawn(
    process.execPath,
    [
      ...command,
      'generate',
      bundle,
      '--ids',
      ids,
      '--ignore-eos',
      '--max-tokens',
      '100000',
      '--context',
      '65536',
    ],
    { cwd: root },
  );
  const status = await new Promise<number | null>((resolve) => {
    child.stderr.on('data', (d: Buffer) => {
      if (String(d).includes('loaded')) setTimeout(() => child.kill('SIGINT'), 100);
    });
    child.on('exit', resolve);
  });
  expect(status).toBe(130);
  expect(existsSync(out)).toBe(false);
}, 30_000);
