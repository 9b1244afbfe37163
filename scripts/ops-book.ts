/** Writes `spec/ops.md` from the op records; a test holds the file against them. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { opOf, ops } from '../compiler/ops/index.ts';
import type { AttrValue } from '../compiler/ops/op.ts';
import { printFn } from '../compiler/scalar/print.ts';

const show = (v: AttrValue): string =>
  typeof v === 'object' && 'body' in v ? printFn(v).replaceAll('|', '\\|') : JSON.stringify(v);

export function opsBook(): string {
  const lines = [
    '# Ops',
    '',
    'Generated from the records in `compiler/ops` by `npm run docs`; what a template may call.',
    '',
  ];
  for (const name of Object.keys(ops)) {
    const def = opOf(name);
    lines.push(
      `## ${name}(${def.operands.join(', ')}) -> ${def.results.join(', ')}`,
      '',
      def.doc,
      '',
    );
    const attrs = Object.entries(def.attrs);
    if (attrs.length === 0) continue;
    lines.push('| attribute | kind | default | |', '| --- | --- | --- | --- |');
    for (const [key, spec] of attrs) {
      const byDefault = spec.default === undefined ? 'must be given' : `\`${show(spec.default)}\``;
      lines.push(`| ${key} | ${spec.kind} | ${byDefault} | ${spec.doc.replaceAll('|', '\\|')} |`);
    }
    lines.push('');
  }
  return lines.join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(fileURLToPath(new URL('../spec/ops.md', import.meta.url)), opsBook());
}
