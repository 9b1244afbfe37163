/** Template to syntax tree, whole or what its mistakes leave of it. */
import { type IRecognitionException, type IToken, Lexer } from 'chevrotain';
import type { Log } from '../base/diagnostic.ts';
import { type Source, titleOf } from '../base/source.ts';
import type { SelectorAst, SheetAst, StmtAst, TemplateAst } from './ast.ts';
import { mendBraces } from './braces.ts';
import { bracketsWithinLimits, guardDepth, textWithinLimits, treeWithinLimits } from './limits.ts';
import { reportComments, reportLexing, reportParsing, reportToken } from './messages.ts';
import { type Attempt, recoverSheet, recoverTemplate } from './recover.ts';
import { SheetParser } from './sheets.ts';
import { type Head, TemplateParser } from './statements.ts';
import type { SheetSource, Template } from './template.ts';
import * as T from './tokens.ts';

export const lexer = new Lexer(T.tokens, { positionTracking: 'full' });
const templates = new TemplateParser();
const sheets = new SheetParser();

type AnyParser = TemplateParser | SheetParser;

/** One rule over tokens that it must read whole. */
function attempt<T>(
  parser: AnyParser,
  source: Source,
  tokens: readonly IToken[],
  rule: () => T,
): Attempt<T> {
  parser.read(source);
  parser.input = [...tokens];
  const value = rule();
  const [mistake] = parser.errors;
  return mistake ? { mistake } : { value };
}

interface Lexed {
  readonly tokens: readonly IToken[];
  /** Offsets of characters that begin no token, and of tokens that the grammar has no place for. */
  readonly odd: readonly number[];
}

/** Undefined where the text is more than is read. */
function lex(source: Source, log: Log): Lexed | undefined {
  if (!textWithinLimits(source, log)) return undefined;
  const { tokens, errors, groups } = lexer.tokenize(source.text);
  errors.forEach((e) => reportLexing(e, source, log));
  const malformed = tokens.filter((t) => reportToken(t, source, log));
  reportComments(groups[T.commentGroup] ?? [], source, log);
  if (!bracketsWithinLimits(source, tokens, log)) return undefined;
  return { tokens, odd: [...errors.map((e) => e.offset), ...malformed.map((t) => t.startOffset)] };
}

/**
 * The tree of a template. Mistakes go to `log`, and statements without any stay in the tree;
 * undefined where its first line is none, or where it has no body.
 */
export function parse(template: Template, log: Log): TemplateAst | undefined {
  const { source } = template;
  const lexed = lex(source, log);
  if (!lexed) return undefined;
  const whole = (of: readonly IToken[]): Attempt<TemplateAst> =>
    attempt(templates, source, of, () => templates.template());
  const read = (): TemplateAst | undefined =>
    readOrMend(lexed, source, log, whole, (mended, report) =>
      recoverTemplate(mended, {
        source,
        report,
        head: (of): Attempt<Head> => attempt(templates, source, of, () => templates.head()),
        input: (of) => attempt(templates, source, of, () => templates.tensor()),
        param: (of) => attempt(templates, source, of, () => templates.param()),
        result: (of) => attempt(templates, source, of, () => templates.shape()),
        statement: (of): Attempt<StmtAst> =>
          attempt(templates, source, of, () => templates.statement()),
      }),
    );
  const ast = guardDepth(log, titleOf(source), read);
  return ast && treeWithinLimits(ast, log) ? ast : undefined;
}

/** The tree of a sheet, with the groups and rules in it that have no mistake. */
export function parseSheet(sheet: SheetSource, log: Log): SheetAst {
  const { source } = sheet;
  const lexed = lex(source, log);
  const empty = { groups: [], rules: [] };
  if (!lexed) return empty;
  const whole = (of: readonly IToken[]): Attempt<SheetAst> =>
    attempt(sheets, source, of, () => sheets.sheet());
  const read = (): SheetAst | undefined =>
    readOrMend(lexed, source, log, whole, (mended, report) =>
      recoverSheet(mended, { source, report, item: whole }),
    );
  const ast = guardDepth(log, titleOf(source), read);
  return ast && treeWithinLimits(ast, log) ? ast : empty;
}

/** The selectors of a text, with commas between; none after a mistake, which goes to `log`. */
export function parseSelectors(source: Source, log: Log): readonly SelectorAst[] {
  const lexed = lex(source, log);
  const whole = (of: readonly IToken[]): Attempt<readonly SelectorAst[]> =>
    attempt(sheets, source, of, () => sheets.selectors());
  if (!lexed) return [];
  const none = (read: readonly IToken[], report: Report): readonly SelectorAst[] => {
    const found = whole(read);
    if ('mistake' in found) report(found.mistake, read);
    return [];
  };
  return guardDepth(log, titleOf(source), () => readOrMend(lexed, source, log, whole, none)) ?? [];
}

type Report = (mistake: IRecognitionException, tokens: readonly IToken[]) => void;

/** Reads the whole, else the whole with braces put in or left out, else what `recover` finds. */
function readOrMend<T>(
  { tokens, odd }: Lexed,
  source: Source,
  log: Log,
  whole: (tokens: readonly IToken[]) => Attempt<T>,
  recover: (tokens: readonly IToken[], report: Report) => T | undefined,
): T | undefined {
  const first = whole(tokens);
  if ('value' in first) return first.value;
  const mended = mendBraces(tokens, source);
  if (mended.mistake) {
    const second = whole(mended.tokens);
    if ('value' in second) {
      mended.mistake(log);
      return second.value;
    }
  }
  let reported = false;
  const report: Report = (mistake, read) => {
    reported = true;
    const from = read[0]?.startOffset ?? 0;
    const to = tokens.find((t) => t.startOffset > (read.at(-1)?.startOffset ?? 0))?.startOffset;
    // A statement that lost a character has been complained of.
    if (odd.some((at) => at >= from && at < (to ?? Infinity))) return;
    reportParsing(mistake, read, tokens, source, log);
  };
  const value = recover(mended.tokens, report);
  if (mended.mistake && (!reported || mended.missing)) mended.mistake(log);
  else if (!reported) report(first.mistake, tokens);
  return value;
}
