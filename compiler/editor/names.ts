/** What the names of a template's text mean, from its tree alone: mistakes elsewhere hide nothing. */
import { unreachable } from '../base/invariant.ts';
import type { Span } from '../base/source.ts';
import type { ArgAst, ExprAst, Name, ShapeAst, StmtAst, TemplateAst } from '../1-syntax/ast.ts';

export type SymbolKind =
  | 'template'
  | 'input'
  | 'parameter'
  | 'size'
  | 'weight'
  | 'instance'
  | 'repeat'
  | 'layer'
  | 'local'
  | 'argument';

export interface NameSymbol {
  readonly name: string;
  readonly kind: SymbolKind;
  /** A name that is assigned several times has several. */
  readonly declarations: Span[];
  readonly uses: Span[];
  /** An instance's block. */
  readonly callee?: ExprAst;
  /** Where ` from "name"` would go, for what a checkpoint knows by this name; undefined if it has one. */
  readonly fromAt?: number;
}

/** `name = value` in a call, and what is called. */
export interface NamedArgument {
  readonly name: Name;
  readonly callee: ExprAst;
}

export interface Names {
  readonly symbols: readonly NameSymbol[];
  readonly args: readonly NamedArgument[];
  readonly expressions: readonly ExprAst[];
}

type Scope = Map<string, NameSymbol>;

export function namesOf(ast: TemplateAst): Names {
  const symbols: NameSymbol[] = [];
  const args: NamedArgument[] = [];
  const expressions: ExprAst[] = [];
  const top: Scope = new Map();

  function declare(
    scope: Scope,
    { text, span }: Name,
    kind: SymbolKind,
    more: Partial<NameSymbol> = {},
  ): void {
    const had = scope.get(text);
    if (had) return void had.declarations.push(span);
    const symbol: NameSymbol = { name: text, kind, declarations: [span], uses: [], ...more };
    symbols.push(symbol);
    scope.set(text, symbol);
  }

  declare(new Map(), ast.name, 'template');
  ast.inputs.forEach((i) => declare(top, i.name, 'input'));
  ast.params.forEach((p) => declare(top, p.name, 'parameter'));
  for (const { shape } of ast.inputs) {
    for (const d of shape.dims) {
      if (d.kind === 'name' && d.name !== 't' && !top.has(d.name)) {
        declare(top, { text: d.name, span: d.span }, 'size');
      } else visit(top, d);
    }
  }
  ast.params.forEach((p) => p.default && visit(top, p.default));
  ast.results?.forEach((s) => shape(top, s));
  ast.body.forEach((s) => statement(top, s));
  return { symbols, args, expressions };

  function shape(scope: Scope, s: ShapeAst): void {
    s.dims.forEach((d) => visit(scope, d));
  }

  function given(scope: Scope, callee: ExprAst, list: readonly ArgAst[]): void {
    for (const a of list) {
      if (a.name) args.push({ name: a.name, callee });
      visit(scope, a.value);
    }
  }

  function statement(scope: Scope, s: StmtAst): void {
    switch (s.kind) {
      case 'weight':
        for (const w of s.weights) {
          shape(scope, w.shape);
          declare(scope, w.path, 'weight', w.from ? {} : { fromAt: w.shape.span.end });
        }
        return;
      case 'use': {
        visit(scope, s.callee);
        given(scope, s.callee, s.args);
        const { text } = s.callee.span.source;
        const end = s.args.at(-1)?.value.span.end ?? s.callee.span.end;
        const close =
          s.args.length > 0
            ? text.indexOf(')', end) + 1
            : end + (/^\s*\(\s*\)/.exec(text.slice(end))?.[0].length ?? 0);
        declare(scope, s.path, 'instance', {
          callee: s.callee,
          ...(s.from ? {} : { fromAt: close }),
        });
        return;
      }
      case 'repeat': {
        visit(scope, s.count);
        const close = s.count.span.source.text.indexOf(']', s.count.span.end) + 1;
        declare(scope, s.name, 'repeat', s.from ? {} : { fromAt: close });
        // A name that exists outside is carried on; the others are each repeat's own.
        const inner: Scope = new Map(scope);
        inner.delete(s.variable.text);
        declare(inner, s.variable, 'layer');
        s.body.forEach((x) => statement(inner, x));
        return;
      }
      case 'if':
        visit(scope, s.when);
        [...s.then, ...s.otherwise].forEach((x) => statement(scope, x));
        return;
      case 'assign':
        visit(scope, s.value);
        s.names.forEach((n) => declare(scope, n, 'local'));
        return;
      case 'return':
        s.values.forEach((v) => visit(scope, v));
        return;
      case 'broken':
        s.names.forEach((n) => declare(scope, n, 'local'));
        return;
      default:
        return unreachable(s);
    }
  }

  function visit(scope: Scope, e: ExprAst): void {
    expressions.push(e);
    switch (e.kind) {
      case 'name':
        scope.get(e.name)?.uses.push(e.span);
        return;
      case 'member': {
        const own = scope.get(pathOf(e) ?? '');
        if (own) own.uses.push(e.span);
        else visit(scope, e.of);
        return;
      }
      case 'list':
        return e.items.forEach((x) => visit(scope, x));
      case 'call':
        visit(scope, e.callee);
        return given(scope, e.callee, e.args);
      case 'index':
        return [e.of, ...e.at].forEach((x) => visit(scope, x));
      case 'as':
        visit(scope, e.of);
        return shape(scope, e.shape);
      case 'unary':
        return visit(scope, e.of);
      case 'binary':
        return [e.a, e.b].forEach((x) => visit(scope, x));
      case 'if':
        return [e.when, e.a, e.b].forEach((x) => visit(scope, x));
      case 'lambda': {
        const inner: Scope = new Map(scope);
        for (const p of e.params) {
          inner.delete(p.text);
          declare(inner, p, 'argument');
        }
        return visit(inner, e.body);
      }
      case 'number':
      case 'text':
      case 'bool':
      case 'hole':
        return;
      default:
        return unreachable(e);
    }
  }
}

function pathOf(e: ExprAst): string | undefined {
  if (e.kind === 'name') return e.name;
  if (e.kind !== 'member') return undefined;
  const outer = pathOf(e.of);
  return outer === undefined ? undefined : `${outer}.${e.name}`;
}
