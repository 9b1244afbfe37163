/** The tagged templates of a TypeScript file, found in its text: nothing is run, any text has some. */
import type { Source } from '../base/source.ts';
import { type SheetKind, holeMark, sheetKinds } from '../1-syntax/template.ts';
import { type Code, readCode, skipTypes } from './code.ts';
import { type Meaning, type Module, bindingAt, readModule } from './module.ts';
import { type Range, type Token, tokensOf } from './tokens.ts';

export type Tag = 'block' | 'model' | SheetKind;

const tags: readonly Tag[] = ['block', 'model', ...sheetKinds];
const isTag = (name: string): name is Tag => tags.some((t) => t === name);

export interface HoleText {
  /** From `${` to `}`, both included. */
  readonly range: Range;
  /** What stands between. */
  readonly code: Code;
}

/** A tagged template as it stands in a file; all ranges are offsets into the file's text. */
export interface TemplateText {
  readonly tag: Tag;
  readonly tagRange: Range;
  /** The type between `<` and `>` behind the tag, these not included. */
  readonly typeArgument: Range | undefined;
  /** Between the backticks. */
  readonly raw: Range;
  /** False where the backtick at its end is missing. */
  readonly closed: boolean;
  /** The text around the holes, one piece more than holes. */
  readonly pieces: readonly Range[];
  readonly holes: readonly HoleText[];
  /** The constant or property that it is the value of. */
  readonly name: string | undefined;
  /** The comment before the statement, as written. */
  readonly comment: string | undefined;
  /** The text as its tag would see it, a mark for each hole. */
  readonly source: Source;
  /** File offset of each character of `source.text`, and of its end. */
  readonly offsets: readonly number[];
}

export interface FileTemplates {
  readonly templates: readonly TemplateText[];
  readonly module: Module;
}

/** Whether an import from `specifier` gives the language's tags. */
export const isDoor = (specifier: string): boolean =>
  specifier === 'cograph' || /(^|\/)compiler\/(index|dsl)\.[cm]?[jt]s$/.test(specifier);

export function readTemplates(file: string, text: string): FileTemplates {
  const tokens = tokensOf(text, /\.[jt]sx$/.test(file));
  const module = readModule(tokens, text.length);
  const templates = tokens.flatMap((t, k) => {
    if (t.kind !== 'template' || (t.part !== 'whole' && t.part !== 'head')) return [];
    return readTemplate(file, text, tokens, k, module) ?? [];
  });
  return { templates, module };
}

function readTemplate(
  file: string,
  text: string,
  tokens: readonly Token[],
  k: number,
  module: Module,
): TemplateText | undefined {
  const found = tagBefore(tokens, k, module);
  if (!found) return undefined;
  const first = tokens[k];
  if (!first) return undefined;
  const pieces: Range[] = [];
  const holes: HoleText[] = [];
  let closed = first.closed === true && first.part === 'whole';
  let from = first.start + 1;
  let last = first;
  if (first.part === 'whole') {
    pieces.push({ start: from, end: closed ? first.end - 1 : first.end });
  } else {
    let depth = 0;
    for (let i = k; i < tokens.length; i++) {
      const t = tokens[i];
      if (t?.kind !== 'template') continue;
      if (t.part === 'head') depth++;
      if (depth === 1 && (t.part === 'middle' || t.part === 'tail')) {
        closeHole(i, t);
        last = t;
      }
      if (t.part === 'head' && depth === 1) pieces.push({ start: from, end: t.end - 2 });
      if (t.part === 'tail' && --depth === 0) {
        closed = t.closed === true;
        break;
      }
    }
    // A hole that is not closed takes the rest of the file.
    if (pieces.length === holes.length || last.part !== 'tail') {
      const end = text.length;
      const start = pieces.at(-1)?.end ?? end;
      if (last.part !== 'tail')
        holes.push({ range: { start, end }, code: { kind: 'other', start, end } });
      pieces.push({ start: end, end });
    }
  }

  function closeHole(i: number, t: Token): void {
    const before = pieces.at(-1)?.end ?? from;
    const begin = tokens.findIndex((x, n) => n > k && x.start >= before + 2);
    const { code } =
      begin < i
        ? readCode(tokens, begin)
        : { code: { kind: 'other', start: t.start, end: t.start } as const };
    holes.push({ range: { start: before, end: t.start + 1 }, code });
    from = t.start + 1;
    const end = t.part === 'middle' ? t.end - 2 : t.closed === true ? t.end - 1 : t.end;
    pieces.push({ start: from, end });
  }

  const raw = { start: first.start + 1, end: pieces.at(-1)?.end ?? first.end };
  return {
    ...found,
    raw,
    closed,
    pieces,
    holes,
    ...named(
      tokens,
      tokens.findIndex((t) => t.start === found.start),
    ),
    ...seenByTag(file, text, pieces, holes),
  };
}

interface FoundTag {
  readonly tag: Tag;
  readonly tagRange: Range;
  readonly typeArgument: Range | undefined;
  readonly start: number;
}

/** `tag`, `tag<Type>`, `space.tag` before a template. */
function tagBefore(tokens: readonly Token[], k: number, module: Module): FoundTag | undefined {
  let i = k - 1;
  let typeArgument: Range | undefined;
  if (/^>+$/.test(tokens[i]?.text ?? '')) {
    const close = i;
    while (i >= 0 && !(tokens[i]?.text === '<' && skipTypes(tokens, i) === close + 1)) i--;
    typeArgument = { start: tokens[i]?.end ?? 0, end: tokens[close]?.start ?? 0 };
    i--;
  }
  const name = tokens[i];
  if (name?.kind !== 'name') return undefined;
  const member = tokens[i - 1]?.text === '.' ? tokens[i - 2] : undefined;
  const meaning = bindingAt(module, (member ?? name).text, name.start)?.meaning;
  const tag = tagOf(meaning, member ? name.text : undefined);
  const start = (member ?? name).start;
  const tagRange = { start: name.start, end: name.end };
  return tag === undefined ? undefined : { tag, tagRange, typeArgument, start };
}

function tagOf(meaning: Meaning | undefined, member: string | undefined): Tag | undefined {
  if (meaning?.kind !== 'import' || !isDoor(meaning.from)) return undefined;
  const name = meaning.name === '*' ? member : member === undefined ? meaning.name : undefined;
  return name !== undefined && isTag(name) ? name : undefined;
}

function named(tokens: readonly Token[], k: number): Pick<TemplateText, 'name' | 'comment'> {
  const before = tokens[k - 1];
  const own = tokens[k]?.comment;
  if (before?.text === 'default') {
    return { name: 'default', comment: tokens[k - 2]?.comment ?? own };
  }
  if (before?.text !== '=' && before?.text !== ':') return { name: undefined, comment: own };
  let i = k - 2;
  if (before.text === '=') {
    // Past the type of a constant, to the word that begins the statement.
    while (i > 0 && !['const', 'let', 'var', ','].includes(tokens[i - 1]?.text ?? '') && k - i < 64)
      i--;
  }
  const word = tokens[i - 1];
  const exported = tokens[i - 2]?.text === 'export' ? tokens[i - 2] : undefined;
  return { name: tokens[i]?.text, comment: (exported ?? word)?.comment ?? tokens[i]?.comment };
}

/** Line ends are `\n` in a template, whatever the file has. */
function seenByTag(
  file: string,
  text: string,
  pieces: readonly Range[],
  holes: readonly HoleText[],
): Pick<TemplateText, 'source' | 'offsets'> {
  const offsets: number[] = [];
  let seen = '';
  pieces.forEach((p, n) => {
    for (let at = p.start; at < p.end; at++) {
      if (text[at] === '\r' && text[at + 1] === '\n') continue;
      seen += text[at] === '\r' ? '\n' : text[at];
      offsets.push(at);
    }
    const hole = holes[n];
    if (!hole) return;
    seen += holeMark;
    offsets.push(hole.range.start);
  });
  offsets.push(pieces.at(-1)?.end ?? 0);
  const start = pieces[0]?.start ?? 0;
  const before = text.slice(0, start);
  const line = before.split('\n').length;
  const column = start - before.lastIndexOf('\n');
  return { source: { file, text: seen, line, column }, offsets };
}
