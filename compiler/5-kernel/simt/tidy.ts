/** Barriers that wait for nothing are taken out. */
import { present } from '../../base/invariant.ts';
import type { Stmt } from '../kernel.ts';

/** The statements of a kernel, whose workgroups end where their block loops do. */
export function tidy(stmts: readonly Stmt[]): Stmt[] {
  const last = stmts.at(-1);
  const inner = stmts.flatMap((s): Stmt[] => {
    if (s.kind !== 'loop') return [s];
    return [{ ...s, body: s === last && s.axis.bind === 'block' ? tidy(s.body) : single(s.body) }];
  });
  const out = single(inner);
  while (out.at(-1)?.kind === 'barrier') out.pop();
  return out;
}

/** One barrier where several follow each other. */
function single(stmts: readonly Stmt[]): Stmt[] {
  return stmts.flatMap((s, i): Stmt[] => {
    if (s.kind === 'barrier' && i > 0 && present(stmts[i - 1]).kind === 'barrier') return [];
    if (s.kind === 'loop') return [{ ...s, body: single(s.body) }];
    if (s.kind === 'if') return [{ ...s, then: single(s.then), otherwise: single(s.otherwise) }];
    return [s];
  });
}
