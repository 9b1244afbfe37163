/**
 * A TypeScript file without running it: its imports, the constants and exports that name templates,
 * and scopes as far as braces tell them.
 */
import { type Code, type Read, readCode, skip } from './code.ts';
import type { Range, Token } from './tokens.ts';

export type Meaning =
  | { readonly kind: 'import'; readonly from: string; readonly name: string }
  | { readonly kind: 'const'; readonly value: Code }
  /** Known only when the file runs. */
  | { readonly kind: 'open' };

export interface Binding {
  readonly name: string;
  readonly range: Range;
  /** Where the name may be used. */
  readonly scope: Range;
  readonly meaning: Meaning;
  /** The comment before the declaration. */
  readonly comment?: string;
}

export interface Module {
  readonly bindings: readonly Binding[];
  /** By exported name. */
  readonly exports: ReadonlyMap<string, Meaning>;
  /** Specifiers of `export * from`. */
  readonly stars: readonly string[];
  readonly calls: readonly Extract<Code, { kind: 'call' }>[];
}

const open: Meaning = { kind: 'open' };
const isSign = (t: Token | undefined, text: string): boolean =>
  t?.kind === 'sign' && t.text === text;
const isName = (t: Token | undefined, text: string): boolean =>
  t?.kind === 'name' && t.text === text;
const textOf = (t: Token | undefined): string => t?.text.slice(1, -1) ?? '';

/** The meaning of `name` at an offset: of the innermost scope that has it. */
export function bindingAt(module: Module, name: string, at: number): Binding | undefined {
  let best: Binding | undefined;
  for (const b of module.bindings) {
    if (b.name !== name || at < b.scope.start || at > b.scope.end) continue;
    if (!best || b.scope.start >= best.scope.start) best = b;
  }
  return best;
}

export function readModule(tokens: readonly Token[], length: number): Module {
  const bindings: Binding[] = [];
  const exports = new Map<string, Meaning>();
  const stars: string[] = [];
  const calls: Extract<Code, { kind: 'call' }>[] = [];
  const scopes: Range[] = [{ start: 0, end: length }];
  const scope = (): Range => scopes.at(-1) ?? { start: 0, end: length };
  const bind = (t: Token | undefined, meaning: Meaning, own = scope(), comment?: string): void => {
    if (t?.kind !== 'name') return;
    const told = comment === undefined ? {} : { comment };
    bindings.push({
      name: t.text,
      range: { start: t.start, end: t.end },
      scope: own,
      meaning,
      ...told,
    });
  };

  for (let k = 0; k < tokens.length; k++) {
    const t = tokens[k];
    while (scopes.length > 1 && t && t.start >= scope().end) scopes.pop();
    if (isSign(t, '{'))
      scopes.push({ start: t?.start ?? 0, end: tokens[skip(tokens, k) - 1]?.end ?? length });
    if (isSign(t, '(')) parameters(k);
    if (t?.kind !== 'name' || isSign(tokens[k - 1], '.')) continue;
    if (isSign(tokens[k + 1], '=>')) bind(t, open, { start: t.start, end: bodyEnd(k + 2) });
    if (t.text === 'import') imports(k);
    if (t.text === 'export') exported(k);
    if (t.text === 'const') constant(k);
    if (t.text === 'let' || t.text === 'var') bind(tokens[k + 1], open);
    if (['function', 'class', 'enum'].includes(t.text)) bind(tokens[k + 1], open);
    if (isSign(tokens[k + 1], '(')) {
      const { code } = readCode(tokens, k);
      const call = code.kind === 'call' ? code : undefined;
      if (call) calls.push(call);
    }
  }
  return { bindings, exports, stars, calls };

  /** Parameters of functions hide names around them. */
  function parameters(k: number): void {
    const close = skip(tokens, k) - 1;
    let body = close + 1;
    // A result's type may stand before the arrow or the body.
    if (isSign(tokens[body], ':')) {
      while (
        body < tokens.length &&
        !['=>', '{', ';', ',', ')', '='].includes(tokens[body]?.text ?? '')
      )
        body++;
    }
    const arrow = isSign(tokens[body], '=>');
    if (!arrow && !isSign(tokens[body], '{')) return;
    if (/^(if|while|for|switch)$/.test(tokens[k - 1]?.text ?? '')) return;
    const end = bodyEnd(arrow ? body + 1 : body);
    for (let i = k + 1; i < close; i++) {
      const before = tokens[i - 1];
      const first =
        isSign(before, '(') || isSign(before, ',') || isSign(before, '{') || isSign(before, '[');
      if (first) bind(tokens[i], open, { start: tokens[k]?.start ?? 0, end });
    }
  }

  function bodyEnd(k: number): number {
    const next = isSign(tokens[k], '{') ? skip(tokens, k) : readCode(tokens, k).next;
    return tokens[next - 1]?.end ?? length;
  }

  function imports(k: number): void {
    let i = isName(tokens[k + 1], 'type') && !isName(tokens[k + 2], 'from') ? k + 2 : k + 1;
    const named: [Token | undefined, string][] = [];
    for (; i < tokens.length; i++) {
      const t = tokens[i];
      if (isSign(t, '*') && isName(tokens[i + 1], 'as')) named.push([tokens[(i += 2)], '*']);
      else if (isSign(t, '{')) {
        const close = skip(tokens, i) - 1;
        named.push(...specifiers(i, close));
        i = close;
      } else if (isName(t, 'from')) {
        const from = tokens[i + 1];
        if (from?.kind !== 'text') return;
        for (const [own, name] of named) bind(own, { kind: 'import', from: textOf(from), name });
        return;
      } else if (t?.kind === 'name') named.push([t, 'default']);
      else if (!isSign(t, ',')) return;
    }
  }

  /** `a`, `type a`, `a as b`: the token of the last name and the text of the first. */
  function specifiers(open: number, close: number): [Token | undefined, string][] {
    const out: [Token | undefined, string][] = [];
    for (let i = open + 1; i < close;) {
      let end = i;
      while (end < close && !isSign(tokens[end], ',')) end++;
      const parts = tokens
        .slice(i, end)
        .filter((p, n, all) => !(n === 0 && p.text === 'type' && all.length > 1));
      out.push([parts.at(-1), parts[0]?.text ?? '']);
      i = end + 1;
    }
    return out;
  }

  function exported(k: number): void {
    const t = tokens[k + 1];
    if (isName(t, 'default')) {
      exports.set('default', { kind: 'const', value: readCode(tokens, k + 2).code });
    } else if (isSign(t, '*')) {
      const as = isName(tokens[k + 2], 'as') ? tokens[k + 3] : undefined;
      const from = textOf(tokens[k + (as ? 5 : 3)]);
      if (as) exports.set(as.text, { kind: 'import', from, name: '*' });
      else stars.push(from);
    } else if (isSign(t, '{') || (isName(t, 'type') && isSign(tokens[k + 2], '{'))) {
      const begin = isSign(t, '{') ? k + 1 : k + 2;
      const close = skip(tokens, begin) - 1;
      const from = isName(tokens[close + 1], 'from') ? textOf(tokens[close + 2]) : undefined;
      for (const [own, name] of specifiers(begin, close)) {
        const at = own?.start ?? 0;
        const value: Code = { kind: 'name', name, start: at, end: own?.end ?? at };
        const meaning: Meaning =
          from === undefined ? { kind: 'const', value } : { kind: 'import', from, name };
        if (own) exports.set(own.text, meaning);
      }
    }
  }

  function constant(k: number): void {
    const comment =
      tokens[k]?.comment ?? (isName(tokens[k - 1], 'export') ? tokens[k - 1]?.comment : undefined);
    for (let i = k + 1; i < tokens.length;) {
      const name = tokens[i];
      if (name?.kind !== 'name') return destructured(i);
      const value = valueAt(i + 1);
      const meaning: Meaning = value ? { kind: 'const', value: value.code } : open;
      bind(name, meaning, scope(), comment);
      if (isName(tokens[k - 1], 'export')) exports.set(name.text, meaning);
      const next = value?.next ?? i + 1;
      if (!isSign(tokens[next], ',')) return;
      i = next + 1;
    }
  }

  function destructured(k: number): void {
    const close = skip(tokens, k);
    for (let i = k + 1; i < close - 1; i++) {
      if (tokens[i]?.kind === 'name' && !isSign(tokens[i + 1], ':')) bind(tokens[i], open);
    }
  }

  /** The value behind `=`, past a type: in one statement, so the first `=` is it. */
  function valueAt(k: number): Read | undefined {
    if (isSign(tokens[k], '=')) return readCode(tokens, k + 1);
    if (!isSign(tokens[k], ':')) return undefined;
    for (let i = k + 1; i < tokens.length; i = Math.max(skip(tokens, i), i + 1)) {
      if (isSign(tokens[i], '=')) return readCode(tokens, i + 1);
      if (isSign(tokens[i], ';')) return undefined;
    }
    return undefined;
  }
}
