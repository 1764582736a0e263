// The extension: it starts `cnnspec lsp`, shows the network of a spec, and its table.

import { execFile } from 'node:child_process';
import * as vscode from 'vscode';
import { LanguageClient, type LanguageClientOptions, type ServerOptions } from 'vscode-languageclient/node';

const MOST_BYTES = 64_000_000; // of what a command prints
let client: LanguageClient | undefined;

interface Output {
  code: number;
  stdout: string;
  stderr: string;
}

function command(): [program: string, before: string[]] {
  const [program = 'cnnspec', ...before] = vscode.workspace.getConfiguration('cnnspec').get<string[]>('command') ?? [];
  return [program, before];
}

// What the program prints for a text on its standard input.
function run(args: string[], text: string): Promise<Output> {
  const [program, before] = command();
  return new Promise((done, fail) => {
    const child = execFile(program, [...before, ...args], { maxBuffer: MOST_BYTES, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (error && typeof error.code !== 'number') fail(error);
      else done({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
    child.stdin?.on('error', () => {}); // it has ended before it read all
    child.stdin?.end(text);
  });
}

function spec(): vscode.TextDocument | undefined {
  const document = vscode.window.activeTextEditor?.document;
  if (document?.languageId === 'cnnspec') return document;
  void vscode.window.showInformationMessage('Open a spec first: a file that begins with `cnnspec: 1`.');
  return undefined;
}

function tell(error: unknown): void {
  const [program] = command();
  const reason = error instanceof Error ? error.message : String(error);
  void vscode.window.showErrorMessage(`cnnspec: ${program} could not be run (${reason}). Install it with pip install 'cnnspec[lsp]', or set cnnspec.command.`);
}

// Pages of networks, each beside its text and following it.
class Pages {
  private panels = new Map<string, vscode.WebviewPanel>();
  private waiting = new Map<string, NodeJS.Timeout>();

  async show(document: vscode.TextDocument): Promise<void> {
    const key = document.uri.toString();
    let panel = this.panels.get(key);
    if (!panel) {
      const title = `${document.uri.path.split('/').pop()}: network`;
      panel = vscode.window.createWebviewPanel('cnnspec.network', title, vscode.ViewColumn.Beside, { enableScripts: true, localResourceRoots: [] });
      panel.onDidDispose(() => this.panels.delete(key));
      this.panels.set(key, panel);
    } else panel.reveal(undefined, true);
    await this.draw(document);
  }

  // A moment after the last edit.
  follow(document: vscode.TextDocument): void {
    const key = document.uri.toString();
    if (!this.panels.has(key)) return;
    clearTimeout(this.waiting.get(key));
    this.waiting.set(key, setTimeout(() => void this.draw(document).catch(tell), 600));
  }

  private async draw(document: vscode.TextDocument): Promise<void> {
    const { code, stdout, stderr } = await run(['draw', '-', '-o', '-', '--format', 'html'], document.getText());
    const panel = this.panels.get(document.uri.toString());
    if (!panel) return;
    if (code === 0) panel.webview.html = stdout;
    else if (!panel.webview.html) panel.webview.html = plain(stderr);
  }
}

function plain(text: string): string {
  const escaped = text.replace(/[&<>]/g, (letter) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[letter] ?? letter);
  return `<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src 'none'"><pre>${escaped}</pre>`;
}

async function inspect(): Promise<void> {
  const document = spec();
  if (!document) return;
  const { code, stdout, stderr } = await run(['inspect', '-', '--format', 'markdown'], document.getText());
  const shown = await vscode.workspace.openTextDocument({ language: code ? 'plaintext' : 'markdown', content: code ? stderr : stdout });
  await vscode.window.showTextDocument(shown, vscode.ViewColumn.Beside, true);
}

function isActiveLineOnly(): boolean {
  return vscode.workspace.getConfiguration('cnnspec').get<boolean>('hints.activeLineOnly') ?? false;
}

function activeLine(document: vscode.TextDocument): number | undefined {
  const editor = vscode.window.activeTextEditor;
  return editor?.document === document ? editor.selection.active.line : undefined;
}

// Hints of the active line go with it.
let lastLine: number | undefined;
function moved({ textEditor }: vscode.TextEditorSelectionChangeEvent): void {
  const line = activeLine(textEditor.document);
  if (line === lastLine || !isActiveLineOnly()) return;
  lastLine = line;
  client?.getFeature('textDocument/inlayHint').getProvider(textEditor.document)?.onDidChangeInlayHints.fire();
}

async function start(): Promise<void> {
  const [program, before] = command();
  const server: ServerOptions = { command: program, args: [...before, 'lsp'] };
  const options: LanguageClientOptions = {
    documentSelector: [{ language: 'cnnspec' }, { pattern: '**/*.cnnspec.json' }],
    synchronize: { configurationSection: 'cnnspec' },
    middleware: {
      provideInlayHints: async (document, range, token, next) => {
        const found = await next(document, range, token);
        const line = activeLine(document);
        return isActiveLineOnly() ? found?.filter((hint) => hint.position.line === line) : found;
      },
    },
  };
  client = new LanguageClient('cnnspec', 'cnnspec', server, options);
  try {
    await client.start();
    await client.sendNotification('workspace/didChangeConfiguration', { settings: { cnnspec: vscode.workspace.getConfiguration('cnnspec') } });
  } catch (error) {
    client = undefined;
    tell(error);
  }
}

async function stop(): Promise<void> {
  const running = client;
  client = undefined;
  await running?.stop();
}

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const pages = new Pages();
  context.subscriptions.push(
    vscode.commands.registerCommand('cnnspec.showNetwork', async () => {
      const document = spec();
      if (document) await pages.show(document).catch(tell);
    }),
    vscode.commands.registerCommand('cnnspec.inspect', () => inspect().catch(tell)),
    vscode.commands.registerCommand('cnnspec.restart', async () => {
      await stop();
      await start();
    }),
    vscode.window.onDidChangeTextEditorSelection(moved),
    vscode.workspace.onDidChangeTextDocument(({ document }) => pages.follow(document)),
    vscode.workspace.onDidChangeConfiguration(async (change) => {
      if (!change.affectsConfiguration('cnnspec.command')) return;
      await stop();
      await start();
    }),
  );
  await start();
}

export const deactivate = stop;
