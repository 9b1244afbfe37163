/**
 * Files with templates, read without running them. A file is read again when its text changes; what
 * its templates stand for is found again when any file has.
 */
import { type Diagnostic, type Log, makeLog } from '../base/diagnostic.ts';
import type { Source, Span } from '../base/source.ts';
import { parse, parseSheet } from '../1-syntax/parse.ts';
import type { TemplateAst } from '../1-syntax/ast.ts';
import { type Hole, type Template, isTemplate, openHole } from '../1-syntax/template.ts';
import { checkBlock, checkModel } from '../2-model/check.ts';
import type { Model } from '../2-model/model.ts';
import { checkSettings } from '../2-model/sheet-values.ts';
import type { Thing } from '../2-model/scope.ts';
import type { Code } from './code.ts';
import { type Meaning, bindingAt } from './module.ts';
import { type FileTemplates, type TemplateText, isDoor, readTemplates } from './templates.ts';
import type { Range } from './tokens.ts';
import { type ImportedFile, checkTypeArguments } from './types/check.ts';

/** Where files come from. Paths are absolute, with `/`. */
export interface Host {
  /** The text of a file, and something that changes whenever the text does. */
  read(path: string): { readonly text: string; readonly version: unknown } | undefined;
  /** The file that an import names; undefined where it is none that may hold templates. */
  resolve(specifier: string, from: string): string | undefined;
}

export interface OpenFile extends FileTemplates {
  readonly path: string;
  readonly text: string;
  readonly version: unknown;
}

/** A place in a file. */
export interface Place extends Range {
  readonly path: string;
}

/** What elaboration found out about the places of a text, by `start end`. */
export type Facts = ReadonlyMap<Source, ReadonlyMap<string, Thing>>;

export const factKey = (start: number, end: number): string => `${start} ${end}`;

/** A template as the language sees it, and as it stands in its file. */
export interface Known {
  readonly file: OpenFile;
  readonly text: TemplateText;
  readonly template: Template;
}

export interface Checked {
  readonly diagnostics: readonly Diagnostic[];
  /** With sizes as symbols, from each template checked alone. */
  readonly facts: Facts;
  /** With the sizes of the models that the file binds to known parameters. */
  readonly exact: Facts;
  /** Those models, where they have no mistake. */
  readonly models: readonly Model[];
}

export interface Workspace {
  file(path: string): OpenFile | undefined;
  /** The templates of a file that are blocks or models. */
  blocksOf(path: string): readonly Known[];
  known(source: Source): Known | undefined;
  astOf(known: Known): TemplateAst | undefined;
  /** Mistakes of the file and of what it uses; spans are over whole files. */
  check(path: string): Checked;
  /** What a name of the file stands for, through imports. */
  templateAt(file: OpenFile, code: Code): Known | undefined;
  placeOf(span: Span): Place | undefined;
  /** Whether the default export is a model with parameters, as far as texts tell without running. */
  exportsModel(path: string): boolean;
  /** Drops what hangs on other files, when one of them has changed. */
  refresh(): void;
}

interface Derived {
  readonly templates: Map<TemplateText, Known>;
  readonly bySource: Map<Source, Known>;
  readonly asts: Map<Template, TemplateAst | undefined>;
  readonly checks: Map<string, Checked>;
}

const nothingDerived = (): Derived => ({
  templates: new Map(),
  bySource: new Map(),
  asts: new Map(),
  checks: new Map(),
});

/** Imports that lead through more files than this lead in a circle. */
const longestChain = 32;

export function makeWorkspace(host: Host): Workspace {
  const files = new Map<string, OpenFile>();
  let derived = nothingDerived();

  function file(path: string): OpenFile | undefined {
    const had = files.get(path);
    const now = host.read(path);
    if (!now) return undefined;
    if (had && had.version === now.version) return had;
    const read = { path, ...now, ...readTemplates(path, now.text) };
    files.set(path, read);
    if (had) derived = nothingDerived();
    return read;
  }

  function knownOf(own: OpenFile, text: TemplateText): Known {
    const had = derived.templates.get(text);
    if (had) return had;
    const holes: Hole[] = [];
    const kind = text.tag === 'model' ? 'model' : 'block';
    const known: Known = { file: own, text, template: { kind, source: text.source, holes } };
    derived.templates.set(text, known);
    derived.bySource.set(text.source, known);
    // Filled afterwards: blocks may use each other in a circle, which is reported later.
    for (const h of text.holes) holes.push(valueOf(own, h.code, 0));
    return known;
  }

  // Cast: `openHole` is what fromHole takes for a value that nobody knows yet.
  const unknown = openHole as Hole;

  function valueOf(own: OpenFile, code: Code, depth: number): Hole {
    if (depth > longestChain) return unknown;
    switch (code.kind) {
      case 'literal':
        return code.value;
      case 'list': {
        const items = code.items.map((i) => valueOf(own, i, depth + 1));
        return items.includes(unknown) ? unknown : items;
      }
      case 'template': {
        const text = own.templates.find((t) => t.raw.start === code.at + 1);
        if (!text || (text.tag !== 'block' && text.tag !== 'model')) return unknown;
        return knownOf(own, text).template;
      }
      case 'name': {
        const binding = bindingAt(own.module, code.name, code.start);
        return binding ? valueOfMeaning(own, binding.meaning, depth + 1) : unknown;
      }
      case 'member': {
        const space =
          code.of.kind === 'name' ? bindingAt(own.module, code.of.name, code.start) : undefined;
        const meaning = space?.meaning;
        if (meaning?.kind !== 'import' || meaning.name !== '*') return unknown;
        return valueOfMeaning(own, { ...meaning, name: code.name }, depth + 1);
      }
      case 'call':
      case 'object':
      case 'other':
        return unknown;
    }
  }

  function valueOfMeaning(own: OpenFile, meaning: Meaning, depth: number): Hole {
    if (meaning.kind === 'open' || depth > longestChain) return unknown;
    if (meaning.kind === 'const') return valueOf(own, meaning.value, depth);
    if (meaning.name === '*' || isDoor(meaning.from)) return unknown;
    const path = host.resolve(meaning.from, own.path);
    const other = path === undefined ? undefined : file(path);
    return other ? exportOf(other, meaning.name, depth + 1) : unknown;
  }

  function exportOf(own: OpenFile, name: string, depth: number): Hole {
    const meaning = own.module.exports.get(name);
    if (meaning) return valueOfMeaning(own, meaning, depth);
    for (const from of own.module.stars) {
      const value = valueOfMeaning(own, { kind: 'import', from, name }, depth + 1);
      if (value !== unknown) return value;
    }
    return unknown;
  }

  function blocksOf(path: string): readonly Known[] {
    const own = file(path);
    if (!own) return [];
    const blocks = own.templates.filter((t) => t.tag === 'block' || t.tag === 'model');
    return blocks.map((t) => knownOf(own, t));
  }

  function check(path: string): Checked {
    const own = file(path);
    const had = derived.checks.get(path);
    if (had) return had;
    const logs: Log[] = [];
    const facts: MutableFacts = new Map();
    const exact: MutableFacts = new Map();
    const log = (): Log => {
      const made = makeLog();
      logs.push(made);
      return made;
    };
    for (const { template } of blocksOf(path))
      checkBlock(template, log(), factsInto(facts, template.source));
    for (const text of own?.templates ?? []) {
      if (text.tag === 'block' || text.tag === 'model') continue;
      const sheet = { kind: text.tag, source: text.source, holes: [] };
      const ofSheet = log();
      const ast = parseSheet(sheet, ofSheet);
      if (!ofSheet.failed) checkSettings(sheet, ast, ofSheet);
    }
    const models = (own ? boundModels(own) : []).flatMap(
      (bound) => checkModel(bound, log(), factsInto(exact)) ?? [],
    );
    if (own) checkTypeArguments(path, own.text, own, importedBy, log());
    const found = unique(logs.flatMap((l) => l.diagnostics()).map(inFiles));
    const result = { diagnostics: found, facts, exact, models };
    derived.checks.set(path, result);
    return result;
  }

  /** `bind(..)`, a call of its methods, or a name for one; what texts leave open may be one. */
  function isBound(own: OpenFile, code: Code, depth: number): boolean {
    if (depth > longestChain) return false;
    switch (code.kind) {
      case 'call':
        return isBound(own, code.callee, depth + 1);
      case 'member':
        return isBound(own, code.of, depth + 1);
      case 'name': {
        const meaning = bindingAt(own.module, code.name, code.start)?.meaning;
        return meaning !== undefined && meansBound(own, meaning, depth + 1);
      }
      case 'other':
        return own.module.bindings.some((b) => isBind(b.meaning));
      case 'template':
      case 'literal':
      case 'list':
      case 'object':
        return false;
    }
  }

  function meansBound(own: OpenFile, meaning: Meaning, depth: number): boolean {
    if (meaning.kind === 'const') return isBound(own, meaning.value, depth);
    if (meaning.kind === 'open') return own.module.bindings.some((b) => isBind(b.meaning));
    if (isDoor(meaning.from)) return isBind(meaning);
    const path = host.resolve(meaning.from, own.path);
    const other = path === undefined ? undefined : file(path);
    if (!other || depth > longestChain) return false;
    const names = meaning.name === '*' ? [...other.module.exports.keys()] : [meaning.name];
    return names.some((name) => {
      const found = other.module.exports.get(name);
      return found !== undefined && meansBound(other, found, depth + 1);
    });
  }

  function importedBy(from: string, specifier: string): ImportedFile | undefined {
    const found = host.resolve(specifier, from);
    const text = found === undefined ? undefined : host.read(found)?.text;
    return found === undefined || text === undefined ? undefined : { file: found, text };
  }

  /** `bind(model, { params })` whose model and parameters are known without running the file. */
  function boundModels(
    own: OpenFile,
  ): readonly { template: Template; params: Record<string, Hole> }[] {
    return own.module.calls.flatMap(({ callee, args: [first, options] }) => {
      if (callee.kind !== 'name' || !first) return [];
      const meaning = bindingAt(own.module, callee.name, callee.start)?.meaning;
      if (!meaning || !isBind(meaning)) return [];
      const template = valueOf(own, first, 0);
      if (!isTemplate(template) || !isWhole(template)) return [];
      const params: Record<string, Hole> = {};
      if (options?.kind === 'object') {
        const given = options.entries.find((e) => e.key === 'params')?.value;
        if (options.spread || (given && (given.kind !== 'object' || given.spread))) return [];
        for (const e of given?.kind === 'object' ? given.entries : []) {
          params[e.key] = valueOf(own, e.value, 0);
        }
      } else if (options) return [];
      return Object.values(params).includes(unknown) ? [] : [{ template, params }];
    });
  }

  /** Whether everything in the holes, at any depth, is known. */
  function isWhole(template: Template, seen = new Set<Template>()): boolean {
    if (seen.has(template)) return true;
    seen.add(template);
    const known = (h: Hole): boolean =>
      h !== unknown &&
      (!isTemplate(h) || isWhole(h, seen)) &&
      (!Array.isArray(h) || h.every(known));
    return template.holes.every(known);
  }

  function placeOf({ source, start, end }: Span): Place | undefined {
    const known = derived.bySource.get(source);
    const text = known?.text ?? sheetOf(source);
    if (!text) return undefined;
    const last = text.offsets.at(-1) ?? 0;
    const from = text.offsets[start] ?? last;
    return { path: source.file, start: from, end: Math.max(text.offsets[end] ?? last, from) };
  }

  const sheetOf = (source: Source): TemplateText | undefined =>
    files.get(source.file)?.templates.find((t) => t.source === source);

  /** The diagnostic with spans over the whole files. */
  function inFiles(d: Diagnostic): Diagnostic {
    const labels = d.labels.map((l) => {
      const place = placeOf(l.span);
      const text = place && files.get(place.path)?.text;
      if (!place || text === undefined) return l;
      const source = { file: place.path, text, line: 1, column: 1 };
      return { ...l, span: { source, start: place.start, end: place.end } };
    });
    return { ...d, labels };
  }

  return {
    file,
    blocksOf,
    check,
    placeOf,
    known: (source) => derived.bySource.get(source),
    astOf({ template }) {
      const { asts } = derived;
      if (!asts.has(template)) asts.set(template, parse(template, makeLog()));
      return asts.get(template);
    },
    exportsModel(path) {
      const own = file(path);
      const meaning = own?.module.exports.get('default');
      return own !== undefined && meaning !== undefined && meansBound(own, meaning, 0);
    },
    templateAt(own, code) {
      const value = valueOf(own, code, 0);
      return isTemplate(value) ? derived.bySource.get(value.source) : undefined;
    },
    refresh: () => {
      derived = nothingDerived();
    },
  };
}

const isBind = (m: Meaning): boolean => m.kind === 'import' && m.name === 'bind' && isDoor(m.from);

type MutableFacts = Map<Source, Map<string, Thing>>;

/** Keeps what is first known of each place; `only`: of one text. */
const factsInto =
  (facts: MutableFacts, only?: Source) =>
  ({ source, start, end }: Span, thing: Thing): void => {
    if (only && source !== only) return;
    const own = facts.get(source) ?? new Map<string, Thing>();
    facts.set(source, own);
    const key = factKey(start, end);
    const had = own.get(key);
    if (!had || had.kind === 'error') own.set(key, thing);
  };

/** A place has a mistake once, be it found with sizes as symbols or as numbers. */
function unique(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  const seen = new Set<string>();
  return diagnostics.filter((d) => {
    const at = d.labels[0]?.span;
    const key = `${d.code} ${at?.source.file} ${at?.start} ${at ? '' : d.text}`;
    return !seen.has(key) && seen.add(key);
  });
}
