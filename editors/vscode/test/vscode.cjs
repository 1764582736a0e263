// As much of the editor's interface as a language client asks for. What is not here is an empty class or enumeration,
// so that a client of any version loads.

'use strict';

class Disposable {
  constructor(dispose = () => {}) {
    this.dispose = dispose;
  }
  static from(...all) {
    return new Disposable(() => all.forEach((each) => each.dispose()));
  }
}

class EventEmitter {
  listeners = new Set();
  event = (listener, self) => {
    const bound = self ? listener.bind(self) : listener;
    this.listeners.add(bound);
    return new Disposable(() => this.listeners.delete(bound));
  };
  fire(value) {
    for (const listener of [...this.listeners]) listener(value);
  }
  dispose() {
    this.listeners.clear();
  }
}

class CancellationTokenSource {
  token = { isCancellationRequested: false, onCancellationRequested: new EventEmitter().event };
  cancel() {}
  dispose() {}
}

class Uri {
  constructor(text) {
    const { protocol, host, pathname } = new URL(text);
    Object.assign(this, { text, scheme: protocol.slice(0, -1), authority: host, path: decodeURIComponent(pathname), query: '', fragment: '' });
    this.fsPath = this.path;
  }
  static parse(text) {
    return new Uri(text);
  }
  static file(path) {
    return new Uri(`file://${path}`);
  }
  toString() {
    return this.text;
  }
}

class Position {
  constructor(line, character) {
    Object.assign(this, { line, character });
  }
}

class Range {
  constructor(start, end, ...rest) {
    if (rest.length) [this.start, this.end] = [new Position(start, end), new Position(...rest)];
    else [this.start, this.end] = [start, end];
  }
}

class InlayHint {
  constructor(position, label, kind) {
    Object.assign(this, { position, label, kind });
  }
}

class Diagnostic {
  constructor(range, message, severity) {
    Object.assign(this, { range, message, severity });
  }
}

class CodeAction {
  constructor(title, kind) {
    Object.assign(this, { title, kind });
  }
}

class WorkspaceEdit {
  entries = [];
  set(uri, edits) {
    this.entries.push([uri, edits]);
  }
}

class TextEdit {
  constructor(range, newText) {
    Object.assign(this, { range, newText });
  }
}

class Hover {
  constructor(contents, range) {
    Object.assign(this, { contents, range });
  }
}

class MarkdownString {
  constructor(value = '') {
    this.value = value;
  }
  appendMarkdown(value) {
    this.value += value;
    return this;
  }
  appendCodeblock(value) {
    return this.appendMarkdown(value);
  }
}

// An open text, whose lines are counted as the editor counts them.
class TextDocument {
  version = 1;
  isClosed = false;
  isUntitled = false;
  eol = 1;
  constructor(uri, languageId, text) {
    Object.assign(this, { uri: Uri.parse(uri), languageId, text });
    this.fileName = this.uri.path;
  }
  getText() {
    return this.text;
  }
  offsetAt({ line, character }) {
    const lines = this.text.split('\n');
    return lines.slice(0, line).reduce((sum, each) => sum + each.length + 1, 0) + character;
  }
}

// Anything else: a class, a function, and an enumeration whose members are their names.
const anything = (name) =>
  new Proxy(class {}, { get: (target, key) => (key in target || typeof key === 'symbol' ? target[key] : `${name}.${key}`) });

module.exports.makeEditor = function makeEditor(settings) {
  const events = {};
  const event = (name) => (events[name] ??= new EventEmitter()).event;
  const commands = new Map();
  const providers = {};
  const shown = { diagnostics: new Map(), messages: [], panels: [], documents: [] };
  const configuration = (section) => ({
    get: (key, fallback) => key.split('.').reduce((value, part) => value?.[part], section ? settings[section] : settings) ?? fallback,
    ...(section ? settings[section] : settings),
  });

  const known = {
    version: '1.100.0', Disposable, EventEmitter, CancellationTokenSource, Uri, Position, Range, InlayHint, Diagnostic, CodeAction,
    WorkspaceEdit, TextEdit, Hover, MarkdownString, ViewColumn: { Beside: -2 },
    DiagnosticSeverity: { Error: 0, Warning: 1, Information: 2, Hint: 3 },
    CancellationError: class extends Error {},
    env: { language: 'en', appName: 'a test', machineId: '', sessionId: '' },
    extensions: { getExtension: () => undefined, all: [], onDidChange: event('extensions') },
    l10n: { t: (text) => text },
    commands: {
      registerCommand: (name, run) => (commands.set(name, run), new Disposable(() => commands.delete(name))),
      executeCommand: (name, ...rest) => commands.get(name)?.(...rest),
    },
    workspace: {
      textDocuments: [], notebookDocuments: [], workspaceFolders: undefined, name: undefined, isTrusted: true,
      getConfiguration: configuration,
      getWorkspaceFolder: () => undefined,
      createFileSystemWatcher: () => ({ onDidCreate: event('created'), onDidChange: event('changedFile'), onDidDelete: event('deleted'), dispose() {} }),
      openTextDocument: async (given) => (shown.documents.push(given), given),
      ...Object.fromEntries(
        ['OpenTextDocument', 'ChangeTextDocument', 'CloseTextDocument', 'SaveTextDocument', 'ChangeConfiguration', 'ChangeWorkspaceFolders',
          'CreateFiles', 'RenameFiles', 'DeleteFiles', 'OpenNotebookDocument', 'ChangeNotebookDocument', 'CloseNotebookDocument',
          'SaveNotebookDocument', 'GrantWorkspaceTrust'].map((name) => [`onDid${name}`, event(name)]),
      ),
      ...Object.fromEntries(['SaveTextDocument', 'CreateFiles', 'RenameFiles', 'DeleteFiles'].map((name) => [`onWill${name}`, event(`will${name}`)])),
    },
    window: {
      activeTextEditor: undefined, visibleTextEditors: [], tabGroups: { all: [], onDidChangeTabs: event('tabs'), onDidChangeTabGroups: event('groups') },
      onDidChangeActiveTextEditor: event('activeEditor'), onDidChangeVisibleTextEditors: event('visible'),
      onDidChangeTextEditorSelection: event('selection'),
      createOutputChannel: () => ({ append() {}, appendLine() {}, replace() {}, clear() {}, show() {}, hide() {}, dispose() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {}, onDidChangeLogLevel: event('level'), logLevel: 1 }),
      showErrorMessage: async (text) => void shown.messages.push(text),
      showWarningMessage: async (text) => void shown.messages.push(text),
      showInformationMessage: async (text) => void shown.messages.push(text),
      showTextDocument: async () => {},
      withProgress: (_, task) => task({ report() {} }, new CancellationTokenSource().token),
      createWebviewPanel: (kind, title) => {
        const panel = { kind, title, webview: { html: '' }, reveal() {}, onDidDispose: event('disposed'), dispose() {} };
        shown.panels.push(panel);
        return panel;
      },
    },
    languages: new Proxy(
      {
        createDiagnosticCollection: () => ({
          set: (uri, found) => shown.diagnostics.set(uri.toString(), found ?? []),
          delete: (uri) => shown.diagnostics.delete(uri.toString()),
          clear: () => shown.diagnostics.clear(),
          forEach() {}, get: (uri) => shown.diagnostics.get(uri.toString()), has: (uri) => shown.diagnostics.has(uri.toString()), dispose() {},
        }),
        match: (selector, document) => [selector].flat().some((each) => (each.language ?? each) === document.languageId) ? 10 : 0,
        onDidChangeDiagnostics: event('diagnostics'),
      },
      {
        get: (target, key) =>
          target[key] ?? ((_, provider) => ((providers[String(key).replace(/^register|Provider$/g, '')] = provider), new Disposable())),
      },
    ),
  };
  const vscode = new Proxy(known, { get: (target, key) => (key in target ? target[key] : typeof key === 'symbol' ? undefined : (target[key] = anything(key))) });

  return {
    vscode, shown, providers, commands,
    open(uri, language, text) {
      const document = new TextDocument(uri, language, text);
      known.workspace.textDocuments.push(document);
      known.window.activeTextEditor = { document, selection: { active: new Position(0, 0) } };
      known.window.visibleTextEditors = [known.window.activeTextEditor];
      events.OpenTextDocument?.fire(document);
      return document;
    },
    edit(document, range, text) {
      const [start, end] = [document.offsetAt(range.start), document.offsetAt(range.end)];
      document.text = document.text.slice(0, start) + text + document.text.slice(end);
      document.version++;
      events.ChangeTextDocument.fire({ document, contentChanges: [{ range, rangeOffset: start, rangeLength: end - start, text }], reason: undefined });
    },
    goTo(line) {
      known.window.activeTextEditor.selection = { active: new Position(line, 0) };
      events.selection?.fire({ textEditor: known.window.activeTextEditor, selections: [known.window.activeTextEditor.selection] });
    },
    configure(change) {
      change(settings);
      events.ChangeConfiguration.fire({ affectsConfiguration: (section) => section !== 'cnnspec.command' });
    },
  };
};
