/** The few forms of TypeScript that say what a hole holds; everything else is `other`. */
import type { Range, Token } from './tokens.ts';

export type Code = Range &
  (
    | { readonly kind: 'name'; readonly name: string }
    | { readonly kind: 'literal'; readonly value: number | string | boolean }
    | { readonly kind: 'list'; readonly items: readonly Code[] }
    | { readonly kind: 'object'; readonly entries: readonly Entry[]; readonly spread: boolean }
    | { readonly kind: 'member'; readonly of: Code; readonly name: string }
    | { readonly kind: 'call'; readonly callee: Code; readonly args: readonly Code[] }
    /** A tagged template; `start` is its tag's. */
    | { readonly kind: 'template'; readonly at: number }
    | { readonly kind: 'other' }
  );

export interface Entry {
  readonly key: string;
  readonly range: Range;
  /** `{ heads }`: the key names the value too. */
  readonly short: boolean;
  readonly value: Code;
}

export interface Read {
  readonly code: Code;
  /** Index of the first token behind. */
  readonly next: number;
}

const opening: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };
const closing: readonly string[] = Object.values(opening);

const isSign = (t: Token | undefined, ...texts: readonly string[]): boolean =>
  t?.kind === 'sign' && texts.includes(t.text);

/** Index behind the group or template that token `k` begins, or behind token `k`. */
export function skip(tokens: readonly Token[], k: number): number {
  let depth = 0;
  for (let i = k; i < tokens.length; i++) {
    const t = tokens[i];
    if (t?.kind === 'template') {
      if (t.part === 'head') depth++;
      if (t.part === 'tail') depth--;
    } else if (t?.kind === 'sign') {
      if (t.text in opening) depth++;
      if (closing.includes(t.text)) depth--;
    }
    if (depth <= 0) return i + 1;
  }
  return tokens.length;
}

/** Index behind the type arguments whose `<` is token `k`; `k` where they are none. */
export function skipTypes(tokens: readonly Token[], k: number): number {
  if (!isSign(tokens[k], '<')) return k;
  let depth = 0;
  for (let i = k; i < tokens.length;) {
    const t = tokens[i];
    if (t?.kind === 'sign') {
      if (t.text in opening) {
        i = skip(tokens, i);
        continue;
      }
      if (t.text === '<') depth++;
      else if (/^>+$/.test(t.text)) depth -= t.text.length;
      else if ([';', ')', ']', '}', '&&', '||', '=='].includes(t.text)) return k;
    }
    i++;
    // `>>` that closes more than was opened here belongs to what is around.
    if (depth <= 0) return depth === 0 ? i : k;
  }
  return k;
}

/** The expression that begins at token `k`: a form of the list, or everything up to its end. */
export function readCode(tokens: readonly Token[], k: number): Read {
  const found = postfix(tokens, k);
  const end = tokens[found.next];
  if (!end || endsCode(tokens, found.next)) return found;
  if (end.kind === 'name' && (end.text === 'as' || end.text === 'satisfies')) {
    return { code: found.code, next: endOf(tokens, found.next) };
  }
  const next = endOf(tokens, found.next);
  const start = tokens[k]?.start ?? 0;
  return { code: { kind: 'other', start, end: tokens[next - 1]?.end ?? start }, next };
}

function endsCode(tokens: readonly Token[], k: number): boolean {
  const t = tokens[k];
  if (!t || isSign(t, ',', ';', ')', ']', '}')) return true;
  if (t.kind === 'template' && (t.part === 'middle' || t.part === 'tail')) return true;
  return t.kind === 'name' && statements.includes(t.text);
}

const statements: readonly string[] = [
  'const', 'let', 'var', 'export', 'import', 'function', 'class', 'interface', 'type', 'return', 'if', 'for',
]; // prettier-ignore

function endOf(tokens: readonly Token[], k: number): number {
  let i = k;
  while (i < tokens.length && !endsCode(tokens, i)) i = skip(tokens, i);
  return i;
}

function postfix(tokens: readonly Token[], k: number): Read {
  let { code, next } = primary(tokens, k);
  const start = code.start;
  for (;;) {
    const t = tokens[next];
    const types = skipTypes(tokens, next);
    const behind = tokens[types];
    if (behind?.kind === 'template' && (behind.part === 'whole' || behind.part === 'head')) {
      next = skip(tokens, types);
      code = { kind: 'template', at: behind.start, start, end: tokens[next - 1]?.end ?? start };
    } else if (isSign(behind, '(') && code.kind !== 'other') {
      const { items, next: after } = listOf(tokens, types);
      const end = tokens[after - 1]?.end ?? start;
      code = { kind: 'call', callee: code, args: items, start, end };
      next = after;
    } else if (isSign(t, '.') && tokens[next + 1]?.kind === 'name') {
      const name = tokens[next + 1];
      code = { kind: 'member', of: code, name: name?.text ?? '', start, end: name?.end ?? start };
      next += 2;
    } else if (isSign(t, '!')) next++;
    else return { code, next };
  }
}

function primary(tokens: readonly Token[], k: number): Read {
  const t = tokens[k];
  if (!t) return { code: { kind: 'other', start: 0, end: 0 }, next: k };
  const range = { start: t.start, end: t.end };
  const one = (code: Code): Read => ({ code, next: k + 1 });
  if (t.kind === 'name') {
    if (t.text === 'true' || t.text === 'false') {
      return one({ kind: 'literal', value: t.text === 'true', ...range });
    }
    if (t.text === 'new' || t.text === 'async' || t.text === 'function') {
      const next = endOf(tokens, k + 1);
      return { code: { kind: 'other', start: t.start, end: tokens[next - 1]?.end ?? t.end }, next };
    }
    return one({ kind: 'name', name: t.text, ...range });
  }
  if (t.kind === 'number') {
    return one({ kind: 'literal', value: Number(t.text.replaceAll('_', '')), ...range });
  }
  if (t.kind === 'text') {
    const value = t.text.slice(1, -1);
    return one(
      value.includes('\\') ? { kind: 'other', ...range } : { kind: 'literal', value, ...range },
    );
  }
  if (isSign(t, '-') && tokens[k + 1]?.kind === 'number') {
    const n = primary(tokens, k + 1);
    if (n.code.kind === 'literal' && typeof n.code.value === 'number') {
      return {
        code: { kind: 'literal', value: -n.code.value, start: t.start, end: n.code.end },
        next: n.next,
      };
    }
  }
  if (isSign(t, '[')) {
    const { items, next } = listOf(tokens, k);
    return {
      code: { kind: 'list', items, start: t.start, end: tokens[next - 1]?.end ?? t.end },
      next,
    };
  }
  if (isSign(t, '(') && !isSign(tokens[skip(tokens, k)], '=>', ':')) {
    const next = skip(tokens, k);
    const inner = readCode(tokens, k + 1);
    const end = tokens[next - 1]?.end ?? t.end;
    const whole = inner.next === next - 1;
    return {
      code: whole ? { ...inner.code, start: t.start, end } : { kind: 'other', start: t.start, end },
      next,
    };
  }
  if (isSign(t, '{')) return objectOf(tokens, k);
  const next = t.kind === 'template' ? skip(tokens, k) : endOf(tokens, k);
  return {
    code: { kind: 'other', start: t.start, end: tokens[next - 1]?.end ?? t.end },
    next: Math.max(next, k),
  };
}

/** What stands between the parentheses or brackets that token `k` opens. */
function listOf(tokens: readonly Token[], k: number): { items: readonly Code[]; next: number } {
  const next = skip(tokens, k);
  const items: Code[] = [];
  let i = k + 1;
  while (i < next - 1) {
    const read = readCode(tokens, i);
    items.push(read.code);
    i = Math.max(read.next, i);
    if (!isSign(tokens[i], ',')) break;
    i++;
  }
  return { items, next };
}

function objectOf(tokens: readonly Token[], k: number): Read {
  const next = skip(tokens, k);
  const entries: Entry[] = [];
  let spread = false;
  let i = k + 1;
  while (i < next - 1) {
    const key = tokens[i];
    const range = { start: key?.start ?? 0, end: key?.end ?? 0 };
    if (key && (key.kind === 'name' || key.kind === 'text') && isSign(tokens[i + 1], ':')) {
      const read = readCode(tokens, i + 2);
      const text = key.kind === 'text' ? key.text.slice(1, -1) : key.text;
      entries.push({ key: text, range, short: false, value: read.code });
      i = read.next;
    } else if (key?.kind === 'name' && (isSign(tokens[i + 1], ',') || i + 1 === next - 1)) {
      const value: Code = { kind: 'name', name: key.text, ...range };
      entries.push({ key: key.text, range, short: true, value });
      i++;
    } else {
      spread = true;
      i = Math.max(endOf(tokens, i), i + (isSign(key, ',') ? 0 : 1));
    }
    while (i < next - 1 && !isSign(tokens[i], ',')) i = Math.max(skip(tokens, i), i + 1);
    i++;
  }
  const start = tokens[k]?.start ?? 0;
  return {
    code: { kind: 'object', entries, spread, start, end: tokens[next - 1]?.end ?? start },
    next,
  };
}
