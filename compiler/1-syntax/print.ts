/**
 * The syntax tree as canonical template text: two spaces a level, parentheses only where the grammar
 * needs them. Parsing what is printed gives the same tree, spans aside; holes print as `${n}`.
 */
import { unreachable } from '../base/invariant.ts';
import { type Writer, makeWriter } from '../base/writer.ts';
import type { ArgAst, BinaryOp, ExprAst, ShapeAst, StmtAst, TemplateAst, TypeAst } from './ast.ts';

/** What stands for hole n of a template. */
type ShowHole = (index: number) => string;

export function printAst(ast: TemplateAst, showHole: ShowHole = (index) => `\${${index}}`): string {
  const w = makeWriter();
  const inputs = ast.inputs.map((i) => `${i.name.text}: ${showShape(i.shape, showHole)}`);
  const params = ast.params.map((p) => {
    const value = p.default ? ` = ${showExpr(p.default, showHole)}` : '';
    return `${p.name.text}: ${showType(p.type)}${value}`;
  });
  const takes = [inputs.join(', '), params.join(', ')].filter((part) => part !== '').join('; ');
  const only = params.length > 0 && inputs.length === 0 ? `; ${params.join(', ')}` : takes;
  const results = ast.results?.map((r) => showShape(r, showHole)).join(', ');
  w.line(`${ast.name.text}(${only})${results === undefined ? '' : ` -> ${results}`} {`);
  w.indent(() => ast.body.forEach((s) => writeStmt(w, s, showHole)));
  w.line('}');
  return w.text();
}

function writeStmt(w: Writer, s: StmtAst, hole: ShowHole): void {
  switch (s.kind) {
    case 'weight': {
      const weights = s.weights.map(
        (d) => `${d.path.text}: ${showShape(d.shape, hole)}${showFrom(d.from?.value)}`,
      );
      return w.line(`weight ${weights.join(', ')}`);
    }
    case 'use': {
      const args = s.args.length === 0 ? '' : showArgs(s.args, hole);
      const callee = showExpr(s.callee, hole);
      return w.line(`use ${s.path.text} = ${callee}${args}${showFrom(s.from?.value)}`);
    }
    case 'repeat': {
      const head = `repeat ${s.name.text}[${s.variable.text}: ${showExpr(s.count, hole)}]`;
      return writeBody(w, `${head}${showFrom(s.from?.value)}`, s.body, hole);
    }
    case 'if': {
      w.line(`if ${showExpr(s.when, hole)} {`);
      w.indent(() => s.then.forEach((x) => writeStmt(w, x, hole)));
      if (s.otherwise.length === 0) return w.line('}');
      return writeBody(w, '} else', s.otherwise, hole);
    }
    case 'assign':
      return w.line(`${s.names.map((n) => n.text).join(', ')} = ${showExpr(s.value, hole)}`);
    case 'broken':
      return w.line('// a statement with a mistake');
    case 'return':
      return w.line(`return ${s.values.map((v) => showExpr(v, hole)).join(', ')}`);
    default:
      return unreachable(s);
  }
}

function writeBody(w: Writer, head: string, body: readonly StmtAst[], hole: ShowHole): void {
  w.line(`${head} {`);
  w.indent(() => body.forEach((s) => writeStmt(w, s, hole)));
  w.line('}');
}

const showFrom = (from: string | undefined): string =>
  from === undefined ? '' : ` from ${quote(from)}`;

/** A text has no escapes: the quote it does not contain delimits it. */
const quote = (text: string): string => (text.includes('"') ? `'${text}'` : `"${text}"`);

const showType = (t: TypeAst): string => (t.kind === 'name' ? t.name.text : `[${showType(t.of)}]`);

function showShape(s: ShapeAst, hole: ShowHole): string {
  const dims = s.dims.map((d) => showExpr(d, hole));
  const inside = (s.rest ? ['..', ...dims] : dims).join(', ');
  return `${s.dtype ? `${s.dtype.text} ` : ''}[${inside}]`;
}

const showArgs = (args: readonly ArgAst[], hole: ShowHole): string =>
  `(${args.map((a) => `${a.name ? `${a.name.text} = ` : ''}${showExpr(a.value, hole)}`).join(', ')})`;

// How tightly an expression binds; an operand that binds less tightly stands in parentheses.
const loosest = 0;
const tightness: Readonly<Record<BinaryOp, number>> = {
  or: 1, and: 2, '<': 4, '<=': 4, '>': 4, '>=': 4, '==': 4, '!=': 4,
  '+': 5, '-': 5, '*': 6, '/': 6, '%': 6, '@': 7, '^': 9,
}; // prettier-ignore
const notTightness = 3;
const minusTightness = 8;
const postfixTightness = 10;

function tightnessOf(e: ExprAst): number {
  if (e.kind === 'binary') return tightness[e.op];
  if (e.kind === 'unary') return e.op === 'not' ? notTightness : minusTightness;
  return e.kind === 'if' || e.kind === 'lambda' ? loosest : postfixTightness;
}

export function showExpr(e: ExprAst, hole: ShowHole = (n) => `\${${n}}`): string {
  const within = (x: ExprAst, least: number): string => {
    const text = showExpr(x, hole);
    return tightnessOf(x) < least ? `(${text})` : text;
  };
  switch (e.kind) {
    case 'number':
      return showNumber(e.value, e.whole);
    case 'text':
      return quote(e.value);
    case 'bool':
      return String(e.value);
    case 'name':
      return e.name;
    case 'hole':
      return hole(e.index);
    case 'list':
      return `[${e.items.map((i) => showExpr(i, hole)).join(', ')}]`;
    case 'call':
      return `${within(e.callee, postfixTightness)}${showArgs(e.args, hole)}`;
    case 'index':
      return `${within(e.of, postfixTightness)}[${e.at.map((x) => showExpr(x, hole)).join(', ')}]`;
    case 'member':
      return `${within(e.of, postfixTightness)}.${e.name}`;
    case 'as':
      return `${within(e.of, postfixTightness)} as ${showShape(e.shape, hole)}`;
    case 'unary':
      return e.op === 'not'
        ? `not ${within(e.of, notTightness + 1)}`
        : `-${within(e.of, tightness['^'])}`;
    case 'binary':
      return showBinary(e, within);
    case 'if': {
      const parts = [e.when, e.a, e.b].map((x) => showExpr(x, hole));
      return `if ${parts[0]} then ${parts[1]} else ${parts[2]}`;
    }
    case 'lambda':
      return `|${e.params.map((p) => p.text).join(', ')}| ${within(e.body, tightness.or)}`;
    default:
      return unreachable(e);
  }
}

/** Chains lean left; a power's exponent may be negative or a power itself. */
function showBinary(
  e: Extract<ExprAst, { kind: 'binary' }>,
  within: (x: ExprAst, least: number) => string,
): string {
  const own = tightness[e.op];
  const left = within(e.a, e.op === '^' ? postfixTightness : own);
  const right = within(e.b, e.op === '^' ? minusTightness : own + 1);
  return `${left} ${e.op} ${right}`;
}

/** A real number keeps its point or exponent, so that it is read as one again. */
function showNumber(value: number, whole: boolean): string {
  if (!Number.isFinite(value)) return '1e999';
  const text = String(value).replace('e+', 'e');
  if (whole) return BigInt(value).toString();
  return /[.e]/.test(text) ? text : `${text}.0`;
}
