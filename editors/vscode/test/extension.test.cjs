// The extension with a real language client and a real `cnnspec lsp`, in an editor that is none.
// CNNSPEC_COMMAND is the program as a list in JSON.

'use strict';

const assert = require('node:assert/strict');
const Module = require('node:module');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { makeEditor } = require('./vscode.cjs');

const URI = 'file:///specs/net.cnnspec.yaml';
const TEXT = 'cnnspec: 1\ninput: [3, 32, 32]\nlayers:\n  stem: Conv2d(8, 3)\n  relu: ReLU\n  flatten: Flatten\n  fc: Linear(10)\n';
const token = { isCancellationRequested: false, onCancellationRequested: () => ({ dispose() {} }) };

const editor = makeEditor({ cnnspec: { command: JSON.parse(process.env.CNNSPEC_COMMAND ?? '["cnnspec"]'), hints: { shape: true, field: true, params: false, macs: false, activeLineOnly: false } } });
const { Position, Range } = editor.vscode;
const load = Module._load;
Module._load = (name, ...rest) => (name === 'vscode' ? editor.vscode : load(name, ...rest));
const extension = require(path.join(__dirname, '..', 'dist', 'extension.js'));

let document;
const all = () => new Range(new Position(0, 0), new Position(99, 0));

// What is read, as soon as it is what is wanted; after a minute whatever it is.
async function until(read, isRight) {
  const end = Date.now() + 60_000;
  for (;;) {
    const found = await read();
    if (isRight(found) || Date.now() > end) return found;
    await new Promise((done) => setTimeout(done, 50));
  }
}

const hints = async () => (await editor.providers.InlayHints.provideInlayHints(document, all(), token))?.map((hint) => hint.label);
const codes = () => (editor.shown.diagnostics.get(URI) ?? []).map(({ code }) => code?.value ?? code);

before(async () => {
  await extension.activate({ subscriptions: [] });
  document = editor.open(URI, 'cnnspec', TEXT);
});

after(async () => {
  await extension.deactivate();
  assert.deepEqual(editor.shown.messages, []);
});

test('hints stand behind layers and follow edits', async () => {
  const shown = await until(hints, (found) => found?.length === 4);
  assert.deepEqual(shown, ['→ 8x30x30  rf 3x3', '→ 8x30x30  rf 3x3', '→ 7200  rf 3x3', '→ 10  rf all']);
  editor.edit(document, new Range(new Position(3, 18), new Position(3, 19)), '5');
  assert.equal((await until(hints, (found) => found?.[0] === '→ 8x28x28  rf 5x5'))[0], '→ 8x28x28  rf 5x5');
});

test('a mistake is underlined, and its fix mends it', async () => {
  editor.edit(document, new Range(new Position(4, 8), new Position(4, 12)), 'ReL');
  assert.deepEqual(await until(codes, (found) => found.includes('E103')), ['E103']);
  const [diagnostic] = editor.shown.diagnostics.get(URI);
  const context = { diagnostics: [diagnostic], triggerKind: 1, only: undefined };
  const actions = await editor.providers.CodeActions.provideCodeActions(document, diagnostic.range, context, token);
  assert.equal(actions[0].title, 'write `ReLU`');
  const [[, [edit]]] = actions[0].edit.entries;
  const change = Array.isArray(edit) ? edit[0] : edit;
  editor.edit(document, change.range, change.newText);
  assert.deepEqual(await until(() => codes().filter((code) => code.startsWith('E')), (found) => !found.length), []);
});

test('what hints show is a setting, and whether of the active line alone', async () => {
  editor.configure(({ cnnspec }) => Object.assign(cnnspec.hints, { field: false, params: true }));
  assert.equal((await until(hints, (found) => found?.[3].endsWith('params')))[3], '→ 10  62,730 params');
  editor.configure(({ cnnspec }) => Object.assign(cnnspec.hints, { activeLineOnly: true }));
  editor.goTo(6);
  assert.deepEqual(await until(hints, (found) => found?.length === 1), ['→ 10  62,730 params']);
  editor.goTo(0);
  assert.deepEqual(await until(hints, (found) => found?.length === 0), []);
});

test('the network is shown beside the text, and its layers as a table', async () => {
  await editor.vscode.commands.executeCommand('cnnspec.showNetwork');
  assert.match(editor.shown.panels[0].webview.html, /Content-Security-Policy/);
  await editor.vscode.commands.executeCommand('cnnspec.inspect');
  assert.equal(editor.shown.documents[0].language, 'markdown');
  assert.match(editor.shown.documents[0].content, /\| *fc *\|/);
});
