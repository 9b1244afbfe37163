/** What a template says in vain: names that nothing reads, statements that nothing reaches. */
import type { Log } from '../base/diagnostic.ts';
import type { MessageCode, MessageParams } from '../base/messages.ts';
import type { ExprAst, Name, ShapeAst, StmtAst, TemplateAst } from '../1-syntax/ast.ts';
import { childrenOf, expressionsOf, statementsOf } from '../1-syntax/walk.ts';

/** Warnings of a tree without mistakes. A name that begins with `_` is meant to be left alone. */
export function warnUnused(ast: TemplateAst, log: Log): void {
  const statements = [...statementsOf(ast.body)];
  if (statements.some((s) => s.kind === 'broken')) return;
  const read = new Set<string>();
  const visit = (e: ExprAst): void => {
    const path = pathOf(e);
    if (path !== undefined) read.add(path);
    childrenOf(e).forEach(visit);
  };
  const visitShape = (s: ShapeAst): void => s.dims.forEach(visit);
  ast.inputs.forEach((i) => visitShape(i.shape));
  ast.results?.forEach(visitShape);
  ast.params.forEach((p) => p.default && visit(p.default));
  for (const s of statements) expressionsOf(s).forEach(visit);

  const warn = (code: UnusedCode, { text, span }: Name): void => {
    if (read.has(text) || text.startsWith('_')) return;
    log.report(code, { name: text }, [{ span, text: '' }]);
  };
  ast.inputs.forEach((i) => warn('unused/input', i.name));
  ast.params.forEach((p) => warn('unused/parameter', p.name));
  for (const s of statements) {
    if (s.kind === 'weight') s.weights.forEach((w) => warn('unused/weight', w.path));
    if (s.kind === 'use') warn('unused/instance', s.path);
    // Of several results one may be what is wanted.
    const [only, more] = s.kind === 'assign' ? s.names : [];
    if (only && !more) warn('unused/value', only);
  }
  warnUnreached(ast.body, log);
}

type UnusedCode = {
  [K in MessageCode]: K extends `unused/${string}`
    ? MessageParams<K> extends { readonly name: string }
      ? K
      : never
    : never;
}[MessageCode];

function warnUnreached(body: readonly StmtAst[], log: Log): void {
  const end = body.findIndex((s) => s.kind === 'return');
  const after = end < 0 ? undefined : body[end + 1];
  const last = body[end];
  if (after && last) {
    log.report('unused/statement', {}, [
      { span: after.span, text: '' },
      { span: last.span, text: 'the body ends here' },
    ]);
  }
  for (const s of body) {
    if (s.kind === 'repeat') warnUnreached(s.body, log);
    if (s.kind === 'if') [s.then, s.otherwise].forEach((b) => warnUnreached(b, log));
  }
}

/** `a.b` as the name of what is declared under that path. */
function pathOf(e: ExprAst): string | undefined {
  if (e.kind === 'name') return e.name;
  if (e.kind !== 'member') return undefined;
  const outer = pathOf(e.of);
  return outer === undefined ? undefined : `${outer}.${e.name}`;
}
