/** Type arguments of templates, `model<BardParams>`, held against the templates' text. */
import type { Log } from '../../base/diagnostic.ts';
import { nearestName } from '../../base/messages/nearest.ts';
import type { Span } from '../../base/source.ts';
import { bindingAt } from '../module.ts';
import { type FileTemplates, readTemplates } from '../templates.ts';
import type { Range, Token } from '../tokens.ts';
import { type Declared, declaredIn, fieldOf, typesFileOf, typesText } from './declare.ts';
import {
  type Field,
  type FieldType,
  declaredAt,
  fieldsAt,
  showFieldType,
  typeTokensOf,
} from './read.ts';

/** Text of the file that `specifier` names in `file`; undefined where there is none. */
export type ReadImport = (file: string, specifier: string) => ImportedFile | undefined;

export interface ImportedFile {
  readonly file: string;
  readonly text: string;
}

interface Place {
  readonly file: string;
  readonly text: string;
  readonly tokens: readonly Token[];
}

const spanIn = ({ file, text }: Place, { start, end }: Range): Span => ({
  source: { file, text, line: 1, column: 1 },
  start,
  end,
});

/** Reports every type argument of the file that says something else than its template. */
export function checkTypeArguments(
  file: string,
  text: string,
  read: FileTemplates,
  readImport: ReadImport,
  log: Log,
): void {
  const place: Place = { file, text, tokens: typeTokensOf(text, /\.[jt]sx$/.test(file)) };
  let reported = false;
  for (const d of declaredIn(read.templates)) {
    const range = d.template.typeArgument;
    if (!range) continue;
    const named = { span: spanIn(place, range), text: '' };
    const found = fieldsOf(place, range, read, readImport);
    if (!found) {
      const name = text.slice(range.start, range.end);
      log.report('types/unreadable', { name }, [named]);
      continue;
    }
    if (found.from && found.place.file === typesFile(file, found.from)) {
      // One message says it of the whole file.
      if (!reported && found.place.text !== typesText(file, read)) {
        reported = true;
        log.report('types/stale', { file: typesFileOf(file).replace(/^.*[\\/]/, '') }, [named]);
      }
      continue;
    }
    compare(d, found.fields, found.place, named.span, log);
  }
}

const typesFile = (file: string, imported: ImportedFile): string => {
  const same = imported.file.replace(/^.*[\\/]/, '') === typesFileOf(file).replace(/^.*[\\/]/, '');
  return same ? imported.file : typesFileOf(file);
};

interface Found {
  readonly fields: readonly Field[];
  readonly place: Place;
  readonly from: ImportedFile | undefined;
}

function fieldsOf(
  place: Place,
  range: Range,
  read: FileTemplates,
  readImport: ReadImport,
): Found | undefined {
  const k = place.tokens.findIndex((t) => t.start >= range.start);
  const first = place.tokens[k];
  if (!first || first.end > range.end) return undefined;
  if (first.text === '{') {
    return { fields: fieldsAt(place.tokens, k), place, from: undefined };
  }
  const own = declaredAt(place.tokens, first.text);
  if (own !== undefined) {
    return { fields: fieldsAt(place.tokens, own), place, from: undefined };
  }
  const meaning = bindingAt(read.module, first.text, first.start)?.meaning;
  if (meaning?.kind !== 'import') return undefined;
  const from = readImport(place.file, meaning.from);
  if (!from) return undefined;
  const there: Place = { ...from, tokens: typeTokensOf(from.text) };
  const open = declaredAt(there.tokens, meaning.name);
  return open === undefined
    ? undefined
    : { fields: fieldsAt(there.tokens, open), place: there, from };
}

/** Each parameter has a field of its type, each field a parameter. */
function compare(
  { ast }: Declared,
  fields: readonly Field[],
  place: Place,
  argument: Span,
  log: Log,
): void {
  const of = ast.name.text;
  const declaration = (span: Span) => ({ span, text: 'the parameter is declared here' });
  for (const p of ast.params) {
    const field = fields.find((f) => f.name === p.name.text);
    const wanted = fieldOf(p.type);
    if (!field) {
      if (p.default) continue;
      const type = showFieldType(wanted);
      log.report('types/missing-parameter', { of, name: p.name.text, type }, [
        { span: argument, text: '' },
        declaration(p.name.span),
      ]);
      continue;
    }
    const at = { span: spanIn(place, field.range), text: '' };
    if (!fits(field.type, wanted)) {
      const [found, expected] = [showFieldType(field.type), showFieldType(wanted)];
      log.report('types/wrong-type', { of, name: field.name, expected, found }, [
        at,
        declaration(p.name.span),
      ]);
    } else if (field.optional && !p.default) {
      log.report('types/optional', { of, name: field.name }, [at, declaration(p.name.span)]);
    }
  }
  const names = ast.params.map((p) => p.name.text);
  for (const field of fields) {
    if (names.includes(field.name)) continue;
    const nearest = nearestName(field.name, names);
    log.report('types/unknown-parameter', { of, name: field.name, nearest }, [
      { span: spanIn(place, field.range), text: '' },
      { span: ast.name.span, text: `${of} is declared here` },
    ]);
  }
}

const fits = (found: FieldType, wanted: FieldType): boolean =>
  found.kind === 'list' && wanted.kind === 'list'
    ? fits(found.of, wanted.of)
    : found.kind === wanted.kind;

/** The types that a file's templates have now; undefined where none has parameters. */
export const generateTypes = (file: string, text: string): string | undefined =>
  typesText(file, readTemplates(file, text));
