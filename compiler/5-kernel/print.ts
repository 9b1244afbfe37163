/** Kernels as text. */
import { unreachable } from '../base/invariant.ts';
import { type Writer, makeWriter } from '../base/writer.ts';
import { printExpr } from '../scalar/print.ts';
import type { Axis, Kernel, Stmt, Tile } from './kernel.ts';

export function printKernel(kernel: Kernel): string {
  const w = makeWriter();
  const params = kernel.params.map((p) => `${p.name}: ${p.dtype}${dims(p)}`).join(', ');
  w.line(`kernel ${kernel.name}(${params}; ${kernel.scalars.join(', ')}) {`);
  w.indent(() => {
    if (kernel.workgroup !== undefined) w.line(`workgroup ${kernel.workgroup}`);
    const schedule = Object.entries(kernel.schedule).map(([k, v]) => `${k} ${v}`);
    if (schedule.length > 0) w.line(`schedule ${schedule.join(', ')}`);
    printStmts(w, kernel.body);
  });
  w.line('}');
  return w.text();
}

const dims = (t: Tile): string => (t.shape.length === 0 ? '[]' : `[${t.shape.join(', ')}]`);

function tileText(t: Tile): string {
  const { strides, swizzle } = t.layout;
  const layout = strides.length === 0 ? '' : ` strides [${strides.join(', ')}]`;
  const turn = swizzle ? ` swizzle ${swizzle.bits},${swizzle.base},${swizzle.shift}` : '';
  const lanes = (t.lanes ?? 1) > 1 ? ` x ${t.lanes}` : '';
  const at = t.offset === undefined ? '' : ` at ${t.offset}`;
  const values = t.values ? ` = ${t.values.join(', ')}` : '';
  return `${t.space} ${t.name}: ${t.dtype}${dims(t)}${lanes}${layout}${turn}${at} of ${t.owner}${values}`;
}

function axisText(a: Axis): string {
  const step = a.step === 1 ? '' : ` by ${a.step}`;
  return `${a.bind} ${a.name} = ${printExpr(a.from)} .. ${printExpr(a.to)}${step}`;
}

function printStmts(w: Writer, stmts: readonly Stmt[]): void {
  stmts.forEach((s) => printStmt(w, s));
}

function printStmt(w: Writer, s: Stmt): void {
  const nested = (head: string, body: readonly Stmt[], tail = '}'): void => {
    w.line(`${head} {`);
    w.indent(() => printStmts(w, body));
    w.line(tail);
  };
  switch (s.kind) {
    case 'loop':
      return nested(axisText(s.axis), s.body);
    case 'let':
      return w.line(`let ${s.name} = ${printExpr(s.value)}`);
    case 'tile':
      return w.line(tileText(s.tile));
    case 'store':
      return w.line(`${s.tile}[${printExpr(s.index)}] = ${printExpr(s.value)}`);
    case 'if':
      if (s.otherwise.length === 0) return nested(`if ${printExpr(s.when)}`, s.then);
      nested(`if ${printExpr(s.when)}`, s.then, '} else {');
      w.indent(() => printStmts(w, s.otherwise));
      return w.line('}');
    case 'barrier':
      return w.line(`barrier ${s.owner}`);
    case 'copy': {
      const [from, to] = [s.from, s.to].map((p) => `${p.tile}[${printExpr(p.index)}]`);
      return w.line(`${s.token.name} = copy ${s.elements} from ${from} to ${to}`);
    }
    case 'wait':
      return w.line(`wait ${s.token.name}`);
    case 'role':
      return nested(`role ${s.role}`, s.body);
    case 'mma':
      return w.line(`${s.c} += ${s.a} * ${s.b}`);
    case 'prefetch':
      return w.line(`prefetch ${s.tile}[${printExpr(s.index)}]`);
    case 'comment':
      return w.line(`// ${s.text}`);
    default:
      return unreachable(s);
  }
}
