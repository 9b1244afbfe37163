/** Object types of a TypeScript file, as far as parameters of templates need them. */
import { skip, skipTypes } from '../code.ts';
import { type Range, type Token, tokensOf } from '../tokens.ts';

export type FieldType =
  | { readonly kind: 'number' | 'string' | 'boolean' | 'template' | 'never' }
  | { readonly kind: 'list'; readonly of: FieldType }
  /** What no parameter is. */
  | { readonly kind: 'other'; readonly text: string };

export interface Field {
  readonly name: string;
  readonly range: Range;
  readonly optional: boolean;
  readonly type: FieldType;
}

/** Tokens of types: each `>` is one of its own. */
export const typeTokensOf = (text: string, jsx = false): readonly Token[] =>
  tokensOf(text, jsx).flatMap((t): readonly Token[] =>
    /^>{2,}$/.test(t.text)
      ? [...t.text].map((_, i) => ({ ...t, text: '>', start: t.start + i, end: t.start + i + 1 }))
      : [t],
  );

const isSign = (t: Token | undefined, ...texts: readonly string[]): boolean =>
  t?.kind === 'sign' && texts.includes(t.text);

/** Where the object type named `name` is declared in this file: the index of its `{`. */
export function declaredAt(tokens: readonly Token[], name: string): number | undefined {
  for (const [k, t] of tokens.entries()) {
    if (t.kind !== 'name' || tokens[k + 1]?.text !== name) continue;
    if (t.text === 'interface' && isSign(tokens[k + 2], '{')) return k + 2;
    if (t.text === 'type' && isSign(tokens[k + 2], '=') && isSign(tokens[k + 3], '{')) return k + 3;
  }
  return undefined;
}

/** The fields between the `{` at token `open` and its `}`. */
export function fieldsAt(tokens: readonly Token[], open: number): readonly Field[] {
  const close = skip(tokens, open) - 1;
  const out: Field[] = [];
  for (let k = open + 1; k < close;) {
    if (tokens[k]?.text === 'readonly' && !isSign(tokens[k + 1], ':', '?')) k++;
    const name = tokens[k];
    if (!name) break;
    const optional = isSign(tokens[k + 1], '?');
    const colon = k + (optional ? 2 : 1);
    const end = fieldEnd(tokens, colon, close);
    if (isSign(tokens[colon], ':')) {
      out.push({
        name: name.kind === 'text' ? name.text.slice(1, -1) : name.text,
        range: { start: name.start, end: name.end },
        optional,
        type: typeOf(tokens.slice(colon + 1, end)),
      });
    }
    k = isSign(tokens[end], ';', ',') ? end + 1 : Math.max(end, k + 1);
  }
  return out;
}

/** Fields end with `;`, `,`, or the line before the next field. */
function fieldEnd(tokens: readonly Token[], from: number, close: number): number {
  let k = from + 1;
  while (k < close) {
    if (isSign(tokens[k], ';', ',')) return k;
    const startsField =
      k > from + 1 &&
      (isSign(tokens[k + 1], ':') || (isSign(tokens[k + 1], '?') && isSign(tokens[k + 2], ':')));
    if (startsField) return tokens[k - 1]?.text === 'readonly' ? k - 1 : k;
    const behind = isSign(tokens[k], '<') ? skipTypes(tokens, k) : skip(tokens, k);
    k = Math.max(behind, k + 1);
  }
  return close;
}

function typeOf(tokens: readonly Token[]): FieldType {
  const [first, ...rest] = tokens;
  const text = tokens.map((t) => t.text).join(' ');
  const other: FieldType = { kind: 'other', text };
  if (!first) return other;
  if (first.text === 'readonly') return typeOf(rest);
  const arms = splitAt(tokens, '|');
  if (arms.length > 1) {
    const [one, ...more] = arms.map(typeOf);
    return one && more.every((m) => m.kind === one.kind && m.kind !== 'other') ? one : other;
  }
  const last = tokens.at(-1);
  if (isSign(last, ']') && isSign(tokens.at(-2), '[')) {
    return { kind: 'list', of: typeOf(tokens.slice(0, -2)) };
  }
  if (isSign(first, '(') && isSign(last, ')')) return typeOf(tokens.slice(1, -1));
  if (isSign(rest[0], '<') && isSign(last, '>')) {
    const lists = ['Array', 'ReadonlyArray'].includes(first.text);
    if (lists) return { kind: 'list', of: typeOf(tokens.slice(2, -1)) };
    return first.text === 'Template' ? { kind: 'template' } : other;
  }
  return tokens.length === 1 ? plainType(first) : other;
}

function plainType(t: Token): FieldType {
  switch (t.kind) {
    case 'number':
      return { kind: 'number' };
    case 'text':
      return { kind: 'string' };
    default:
      if (t.text === 'true' || t.text === 'false') return { kind: 'boolean' };
      if (t.text === 'Template') return { kind: 'template' };
      if (t.text === 'number' || t.text === 'string' || t.text === 'boolean' || t.text === 'never')
        return { kind: t.text };
      return { kind: 'other', text: t.text };
  }
}

/** Cut at a sign that stands outside of groups; a leading one separates nothing. */
function splitAt(tokens: readonly Token[], sign: string): readonly (readonly Token[])[] {
  const out: Token[][] = [[]];
  for (let k = 0; k < tokens.length;) {
    if (isSign(tokens[k], sign)) {
      if (k > 0) out.push([]);
      k++;
      continue;
    }
    const behind = isSign(tokens[k], '<') ? skipTypes(tokens, k) : skip(tokens, k);
    const next = Math.max(behind, k + 1);
    out.at(-1)?.push(...tokens.slice(k, next));
    k = next;
  }
  return out;
}

export function showFieldType(t: FieldType): string {
  switch (t.kind) {
    case 'list':
      return `${showFieldType(t.of)}[]`;
    case 'other':
      return t.text;
    case 'template':
      return 'Template';
    default:
      return t.kind;
  }
}
