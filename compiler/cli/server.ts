/** The language server: the protocol's requests as questions to a workspace. */
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import {
  CompletionItemKind,
  type Connection,
  DiagnosticSeverity,
  ErrorCodes,
  MarkupKind,
  ResponseError,
  SymbolKind,
  TextDocumentSyncKind,
  TextDocuments,
  createConnection,
} from 'vscode-languageserver/node';
import { type Range, TextDocument } from 'vscode-languageserver-textdocument';
import type { Diagnostic } from '../base/diagnostic.ts';
import { completionsAt, outlineOf } from '../editor/complete.ts';
import { formatFile } from '../editor/format.ts';
import { hoverAt } from '../editor/hover.ts';
import { definitionAt, referencesAt, renameAt, renameable } from '../editor/references.ts';
import { type Place, makeWorkspace } from '../editor/workspace.ts';
import { makeHost, scriptsUnder } from './workspace-host.ts';

const quietMs = 60;

const toUri = (path: string): string => pathToFileURL(path).href;
const isFile = (uri: string): boolean => uri.startsWith('file:');

/** A document that is no file of this machine has its URI for a path. */
function pathOf(uri: string): string {
  if (!isFile(uri)) return uri;
  try {
    return resolve(fileURLToPath(uri));
  } catch {
    return uri;
  }
}

/** Serves one editor on standard input and output until it says exit. */
export function serve(): void {
  const connection = createConnection(process.stdin, process.stdout);
  // Whatever a library prints must not stand between the protocol's messages.
  console.log = console.info = (...args: readonly unknown[]) => console.error(...args);
  listen(connection);
}

function listen(connection: Connection): void {
  const documents = new TextDocuments(TextDocument);
  const held = new Map<string, TextDocument>();
  // An editor numbers a document from one whenever it opens it: this counts on.
  let changes = 0;
  const versions = new Map<string, number>();
  const host = makeHost((path) => {
    const document = held.get(path);
    return document && { text: document.getText(), version: `open ${versions.get(path)}` };
  });
  const workspace = makeWorkspace(host);
  const roots: string[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;

  connection.onInitialize(({ workspaceFolders, rootUri }) => {
    const uris = workspaceFolders?.map((f) => f.uri) ?? (rootUri ? [rootUri] : []);
    roots.push(...uris.filter(isFile).map(pathOf));
    return {
      serverInfo: { name: 'cograph' },
      capabilities: {
        textDocumentSync: TextDocumentSyncKind.Incremental,
        hoverProvider: true,
        definitionProvider: true,
        referencesProvider: true,
        renameProvider: { prepareProvider: true },
        completionProvider: { triggerCharacters: ['(', ':', '.', ' '] },
        documentSymbolProvider: true,
        documentFormattingProvider: true,
      },
    };
  });

  documents.onDidChangeContent(({ document }) => {
    held.set(pathOf(document.uri), document);
    versions.set(pathOf(document.uri), ++changes);
    changed();
  });
  documents.onDidClose(({ document }) => {
    held.delete(pathOf(document.uri));
    versions.delete(pathOf(document.uri));
    void connection.sendDiagnostics({ uri: document.uri, diagnostics: [] });
    changed();
  });
  connection.onDidChangeWatchedFiles(changed);
  connection.onShutdown(() => clearTimeout(timer));

  /** Once typing pauses, every open file is looked at: one may use another. */
  function changed(): void {
    workspace.refresh();
    clearTimeout(timer);
    timer = setTimeout(() => documents.all().forEach(tryPublish), quietMs);
  }

  /** A bug that one text meets is told, and must not end the server for the others. */
  function tryPublish(document: TextDocument): void {
    try {
      publish(document);
    } catch (e) {
      connection.console.error(e instanceof Error ? (e.stack ?? e.message) : String(e));
    }
  }

  function publish(document: TextDocument): void {
    const path = pathOf(document.uri);
    const { diagnostics } = workspace.check(path);
    const own = diagnostics.filter((d) => d.labels[0]?.span.source.file === path);
    void connection.sendDiagnostics({
      uri: document.uri,
      version: document.version,
      diagnostics: own.map((d) => asProtocol(d)),
    });
  }

  function rangeIn({ path, start, end }: Place): Range {
    const text = workspace.file(path)?.text ?? '';
    const document = held.get(path) ?? TextDocument.create(toUri(path), 'typescript', 0, text);
    return { start: document.positionAt(start), end: document.positionAt(end) };
  }

  function asProtocol(d: Diagnostic): import('vscode-languageserver/node').Diagnostic {
    const [first, ...others] = d.labels.map((l) => {
      const { source, start, end } = l.span;
      return { path: source.file, start, end, text: l.text };
    });
    const help = d.help === undefined ? '' : `\n${d.help}`;
    return {
      range: first
        ? rangeIn(first)
        : { start: { line: 0, character: 0 }, end: { line: 0, character: 0 } },
      severity: d.severity === 'warning' ? DiagnosticSeverity.Warning : DiagnosticSeverity.Error,
      code: d.code,
      source: 'cograph',
      message: `${d.text}${first && first.text !== '' ? ` (${first.text})` : ''}${help}`,
      relatedInformation: others.map((o) => ({
        location: { uri: toUri(o.path), range: rangeIn(o) },
        message: o.text,
      })),
    };
  }

  type At = {
    readonly textDocument: { readonly uri: string };
    readonly position: { readonly line: number; readonly character: number };
  };

  /** Answers a question about a place of an open file. */
  const ask = <T>(
    { textDocument, position }: At,
    answer: (path: string, offset: number) => T,
  ): T | null => {
    const document = documents.get(textDocument.uri);
    return document ? answer(pathOf(textDocument.uri), document.offsetAt(position)) : null;
  };

  const locationOf = (place: Place) => ({ uri: toUri(place.path), range: rangeIn(place) });

  /** Files that may use what another defines: all of the workspace's, read when first asked for. */
  const everyFile = (): readonly string[] => [
    ...new Set([...held.keys(), ...roots.flatMap(scriptsUnder)]),
  ];

  connection.onHover((at) =>
    ask(at, (path, offset) => {
      const found = hoverAt(workspace, path, offset);
      return (
        found && {
          contents: { kind: MarkupKind.Markdown, value: found.markdown },
          range: rangeIn(found.place),
        }
      );
    }),
  );
  connection.onDefinition((at) =>
    ask(at, (path, offset) => {
      const place = definitionAt(workspace, path, offset);
      return place ? locationOf(place) : null;
    }),
  );
  connection.onReferences((at) =>
    ask(at, (path, offset) => referencesAt(workspace, path, offset, everyFile()).map(locationOf)),
  );
  connection.onPrepareRename((at) =>
    ask(at, (path, offset) => {
      const found = renameable(workspace, path, offset);
      return found ? { range: rangeIn(found), placeholder: found.name } : null;
    }),
  );
  connection.onRenameRequest((at) =>
    ask(at, (path, offset) => {
      const edits = renameAt(workspace, path, offset, at.newName, everyFile());
      if ('problem' in edits) throw new ResponseError(ErrorCodes.InvalidParams, edits.problem);
      const changes: Record<string, { range: Range; newText: string }[]> = {};
      for (const e of edits)
        (changes[toUri(e.path)] ??= []).push({ range: rangeIn(e), newText: e.text });
      return { changes };
    }),
  );
  connection.onCompletion((at) =>
    ask(at, (path, offset) =>
      completionsAt(workspace, path, offset).map((c) => ({
        label: c.label,
        kind: completionKinds[c.kind],
        ...(c.detail === undefined ? {} : { detail: c.detail }),
        ...(c.insert === undefined ? {} : { insertText: c.insert }),
        // Parameters of what is being called come first.
        sortText: `${c.kind === 'parameter' ? 0 : c.kind === 'name' ? 1 : 2} ${c.label}`,
      })),
    ),
  );
  connection.onDocumentSymbol(({ textDocument }) => {
    const path = pathOf(textDocument.uri);
    return outlineOf(workspace, path).map(({ name, detail, text }) => {
      const range = rangeIn({ path, start: text.tagRange.start, end: text.raw.end });
      return {
        name,
        detail,
        kind: SymbolKind.Function,
        range,
        selectionRange: rangeIn({ path, ...text.tagRange }),
      };
    });
  });
  connection.onDocumentFormatting(({ textDocument }) => {
    const document = documents.get(textDocument.uri);
    if (!document) return null;
    const { edits } = formatFile(pathOf(textDocument.uri), document.getText());
    return edits.map((e) => ({
      range: { start: document.positionAt(e.start), end: document.positionAt(e.end) },
      newText: e.text,
    }));
  });

  documents.listen(connection);
  connection.listen();
}

const completionKinds = {
  keyword: CompletionItemKind.Keyword,
  name: CompletionItemKind.Variable,
  op: CompletionItemKind.Function,
  parameter: CompletionItemKind.Property,
  type: CompletionItemKind.TypeParameter,
  part: CompletionItemKind.Field,
} as const;
