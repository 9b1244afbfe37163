/**
 * The plugin of Prettier, `cograph/prettier`: its parsers of TypeScript, which lay out templates too.
 *
 * The text is laid out before it is parsed, and what Prettier prints of a template is its text as it
 * stands. Prettier moves the line of a tag, so the templates follow Prettier's own output, which may
 * move for them in turn: both take turns until neither changes anything, and one run is enough.
 */
import { type Options, type Parser, type ParserOptions, format, getSupportInfo } from 'prettier';
import { parsers as babel } from 'prettier/plugins/babel';
import { parsers as typescript } from 'prettier/plugins/typescript';
import { formatFile } from './format.ts';
import { readTemplates } from './templates.ts';

/** Turns that the two take at most: Prettier's own layout has no promise to settle. */
const turns = 4;

/** What the turns decide for themselves, or what the run around them does once. */
const own = new Set(['parser', 'plugins', 'filepath', 'cursorOffset', 'rangeStart', 'rangeEnd']);

async function layOut(text: string, options: ParserOptions, name: string): Promise<string> {
  const file = options.filepath ?? 'module.ts';
  // A range keeps its offsets only where the text stays.
  if (options.rangeStart > 0 || options.rangeEnd < text.length) return text;
  if (readTemplates(file, text).templates.length === 0) return text;
  const settings = await settingsOf(options, name);
  let laid = text;
  for (let turn = 0; turn < turns; turn++) {
    const formatted = formatFile(file, await format(laid, settings), options.printWidth);
    laid = formatted.text;
    if (formatted.edits.length === 0) break;
  }
  return laid;
}

/** The run's options, without this plugin's parsers. */
async function settingsOf(options: ParserOptions, name: string): Promise<Options> {
  const plugins = options.plugins.filter(
    (p) => typeof p === 'string' || p instanceof URL || p.parsers?.[name] !== parsers[name],
  );
  const known = await getSupportInfo({ plugins });
  const names = new Set(known.options.flatMap((o) => o.name ?? []));
  const given = Object.entries(options).filter(([key]) => names.has(key) && !own.has(key));
  return {
    ...Object.fromEntries(given),
    filepath: options.filepath,
    parser: name,
    plugins,
    endOfLine: 'lf',
    insertPragma: false,
    requirePragma: false,
  };
}

const laying = (name: string, parser: Parser): Parser => ({
  ...parser,
  async preprocess(text, options) {
    const before = (await parser.preprocess?.(text, options)) ?? text;
    return layOut(before, options, name);
  },
});

export const parsers: Readonly<Record<string, Parser>> = {
  typescript: laying('typescript', typescript.typescript),
  'babel-ts': laying('babel-ts', babel['babel-ts']),
};
