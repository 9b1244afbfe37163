/** Templates from plain text, for tests that are about the text. */
import { type Diagnostic, makeLog } from '../../compiler/base/diagnostic.ts';
import { renderAll } from '../../compiler/base/render.ts';
import type { TemplateAst } from '../../compiler/1-syntax/ast.ts';
import { parse } from '../../compiler/1-syntax/parse.ts';
import { type Hole, type Template, holeMark } from '../../compiler/1-syntax/template.ts';

/** A template as if it began in the first column of `model.ts`; `${n}` stands for hole n. */
export function templateOf(
  text: string,
  holes: readonly Hole[] = [],
  kind: Template['kind'] = 'block',
): Template {
  const marked = text.replace(/\$\{\d+\}/g, holeMark);
  return { kind, source: { file: 'model.ts', line: 1, column: 1, text: marked }, holes };
}

/** The tree of a text that has no mistakes. */
export function parses(text: string): TemplateAst {
  const log = makeLog();
  const ast = parse(templateOf(text), log);
  if (!ast) throw new Error(renderAll(log.diagnostics()));
  return ast;
}

/** The mistakes that parsing finds. */
export function syntaxMistakes(text: string): readonly Diagnostic[] {
  const log = makeLog();
  parse(templateOf(text), log);
  return log.diagnostics();
}
