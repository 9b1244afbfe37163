/** Starts `cograph lsp` of the workspace and hands it TypeScript files. */
'use strict';
const { existsSync } = require('node:fs');
const { join } = require('node:path');
const { workspace } = require('vscode');
const { LanguageClient } = require('vscode-languageclient/node');

let client;

/** The configured command, the project's own compiler, or what npx finds. */
function serverOf() {
  const [command, ...args] = workspace.getConfiguration('cograph').get('server', []);
  if (command) return { command, args };
  for (const folder of workspace.workspaceFolders ?? []) {
    const main = join(folder.uri.fsPath, 'node_modules/cograph/dist/compiler/cli/main.js');
    if (existsSync(main)) return { command: 'node', args: [main, 'lsp'] };
  }
  const npx = process.platform === 'win32' ? 'npx.cmd' : 'npx';
  return {
    command: npx,
    args: ['cograph', 'lsp'],
    options: { shell: process.platform === 'win32' },
  };
}

exports.activate = () => {
  const languages = ['typescript', 'typescriptreact', 'javascript', 'javascriptreact'];
  client = new LanguageClient('cograph', 'Cograph', serverOf(), {
    documentSelector: languages.map((language) => ({ scheme: 'file', language })),
    synchronize: { fileEvents: workspace.createFileSystemWatcher('**/*.{ts,tsx,mts,js,mjs}') },
  });
  return client.start();
};

exports.deactivate = () => client?.stop();
