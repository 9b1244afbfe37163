/** Every template of the books, the library and the examples, with those in their holes. */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Hole, type Template, isTemplate } from '../../compiler/1-syntax/template.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export async function allTemplates(): Promise<readonly Template[]> {
  const found = new Set<Template>();
  const visit = (v: unknown): void => {
    if (Array.isArray(v)) return v.forEach(visit);
    if (typeof v === 'object' && v !== null && 'template' in v) return visit(v.template);
    if (!isTemplate(v) || found.has(v)) return;
    found.add(v);
    v.holes.forEach(visit);
  };
  const files = readdirSync(join(root, 'stdlib'), { recursive: true, encoding: 'utf8' });
  const modules = files.filter((f) => f.endsWith('.ts')).map((f) => join(root, 'stdlib', f));
  for (const file of [...modules, join(root, 'examples/bard/model.ts')]) {
    Object.values((await import(file)) as object).forEach(visit); // a module's own form
  }
  for (const module of await fences()) Object.values(module).forEach(visit);
  return [...found];
}

async function fences(): Promise<readonly object[]> {
  // Inside of the project, so that the fences' imports find its packages.
  const folder = join(root, '.cache', `templates-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  const out: object[] = [];
  for (const book of readdirSync(join(root, 'spec')).filter((f) => f.endsWith('.md'))) {
    if (book === 'diagnostics.md') continue; // half of its templates are wrong
    const text = readFileSync(join(root, 'spec', book), 'utf8');
    const own = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map((m) => m[1] ?? '');
    for (const [n, fence] of own.entries()) {
      if (!/\b(block|model)`/.test(fence)) continue;
      const file = join(folder, `${book.replace(/\W/g, '-')}-${n}.ts`);
      writeFileSync(file, fence);
      out.push((await import(file)) as object); // a module's own form
    }
  }
  rmSync(folder, { recursive: true, force: true });
  return out;
}

/** A template's text with holes as `${n}`, and back. */
export function numbered({ source }: Template): string {
  let n = 0;
  return source.text.replaceAll('\uE000', () => `\${${n++}}`);
}

export function withText(of: Template, text: string): Template {
  const holes = [...text.matchAll(/\$\{(\d+)\}/g)].map((m): Hole => of.holes[Number(m[1])] ?? 0);
  const marked = text.replace(/\$\{\d+\}/g, '\uE000');
  return { ...of, source: { file: 'model.ts', line: 1, column: 1, text: marked }, holes };
}
