// The editor: CodeMirror with the language server over a WebSocket. What its client lacks stands here: the hints behind
// lines, and the fixes of findings.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import { HighlightStyle, bracketMatching, foldGutter, foldKeymap, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { lintKeymap } from '@codemirror/lint';
import { LSPClient, LSPPlugin, languageServerExtensions, type Transport } from '@codemirror/lsp-client';
import { Compartment, EditorState, StateEffect, StateField, type Extension } from '@codemirror/state';
import {
  Decoration,
  EditorView,
  ViewPlugin,
  WidgetType,
  drawSelection,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
  showPanel,
  type DecorationSet,
  type Panel,
  type ViewUpdate,
} from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { clean } from './clean';

interface Place {
  line: number;
  character: number;
}
interface Span {
  start: Place;
  end: Place;
}
interface Hint {
  position: Place;
  label: string;
  tooltip?: string;
}
interface Action {
  title: string;
  edit?: { changes?: Record<string, { range: Span; newText: string }[]> };
}

// A WebSocket that tries again when it is lost, and gives each new connection to who wants it.
export class Connection {
  client: LSPClient | null = null;
  private socket: WebSocket | null = null;
  private pause = 250;
  private isOver = false;

  constructor(
    private address: string,
    private changed: (client: LSPClient | null) => void,
  ) {
    this.open();
  }

  private open(): void {
    const socket = new WebSocket(this.address);
    this.socket = socket;
    socket.onopen = () => {
      this.pause = 250;
      const handlers = new Set<(text: string) => void>();
      const transport: Transport = {
        send: (text) => socket.send(text),
        subscribe: (handler) => void handlers.add(handler),
        unsubscribe: (handler) => void handlers.delete(handler),
      };
      socket.onmessage = ({ data }) => handlers.forEach((handler) => handler(data as string));
      const client = new LSPClient({
        extensions: [...languageServerExtensions(), { clientCapabilities: HINT_CAPABILITIES }],
        sanitizeHTML: clean,
        timeout: 10_000,
        unhandledNotification: () => {},
      }).connect(transport);
      this.client = client;
      client.initializing.then(
        () => this.changed(client),
        () => {},
      );
    };
    socket.onclose = () => {
      this.client?.disconnect();
      this.client = null;
      this.changed(null);
      if (!this.isOver) setTimeout(() => this.open(), (this.pause = Math.min(this.pause * 2, 8000)));
    };
  }

  close(): void {
    this.isOver = true;
    this.socket?.close();
  }
}

const HINT_CAPABILITIES = { textDocument: { inlayHint: {}, codeAction: { codeActionLiteralSupport: { codeActionKind: { valueSet: ['quickfix'] } } } } };

class HintWidget extends WidgetType {
  constructor(
    private label: string,
    private details: string,
  ) {
    super();
  }
  override eq(other: HintWidget): boolean {
    return other.label === this.label && other.details === this.details;
  }
  toDOM(): HTMLElement {
    const element = document.createElement('span');
    element.className = 'cm-hint';
    element.textContent = this.label;
    element.title = this.details;
    element.setAttribute('aria-hidden', 'true');
    return element;
  }
}

const setHints = StateEffect.define<DecorationSet>();
const hintField = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(hints, transaction) {
    hints = hints.map(transaction.changes);
    for (const effect of transaction.effects) if (effect.is(setHints)) hints = effect.value;
    return hints;
  },
  provide: (field) => EditorView.decorations.from(field),
});

// Asks for the hints of the text after each edit, one request at a time.
const hintPlugin = ViewPlugin.fromClass(
  class {
    private isAsking = false;
    private isStale = false;
    private isGone = false;
    constructor(private view: EditorView) {
      queueMicrotask(() => void this.ask());
    }
    update(update: ViewUpdate): void {
      if (update.docChanged) void this.ask();
    }
    destroy(): void {
      this.isGone = true;
    }
    private async ask(): Promise<void> {
      this.isStale = true;
      if (this.isAsking) return;
      this.isAsking = true;
      while (this.isStale && !this.isGone) {
        this.isStale = false;
        await new Promise((done) => setTimeout(done, 30));
        const plugin = LSPPlugin.get(this.view);
        if (!plugin || this.isGone) break;
        plugin.client.sync();
        const doc = this.view.state.doc;
        try {
          const hints = await plugin.client.request<unknown, Hint[] | null>('textDocument/inlayHint', {
            textDocument: { uri: plugin.uri },
            range: { start: { line: 0, character: 0 }, end: { line: doc.lines, character: 0 } },
          });
          if (this.isGone) break;
          if (this.view.state.doc !== doc) {
            this.isStale = true;
            continue;
          }
          const widgets = (hints ?? []).map((hint) =>
            Decoration.widget({ widget: new HintWidget(hint.label, hint.tooltip ?? ''), side: 1 }).range(plugin.fromPosition(hint.position)),
          );
          this.view.dispatch({ effects: setHints.of(Decoration.set(widgets, true)) });
        } catch {
          break; // the connection is lost, or another edit has overtaken
        }
      }
      this.isAsking = false;
    }
  },
);

const setActions = StateEffect.define<Action[]>();
const actionField = StateField.define<Action[]>({
  create: () => [],
  update(actions, transaction) {
    for (const effect of transaction.effects) if (effect.is(setActions)) return effect.value;
    return transaction.docChanged || transaction.selection ? [] : actions;
  },
  provide: (field) => showPanel.from(field, (actions) => (actions.length ? (view) => actionPanel(view, actions) : null)),
});

function actionPanel(view: EditorView, actions: Action[]): Panel {
  const dom = document.createElement('div');
  dom.className = 'cm-actions';
  for (const action of actions) {
    const button = document.createElement('button');
    button.textContent = action.title;
    button.onclick = () => apply(view, action);
    button.onkeydown = (event) => {
      if (event.key === 'Escape') {
        view.dispatch({ effects: setActions.of([]) });
        view.focus();
      }
      if (event.key === 'ArrowDown' || event.key === 'ArrowRight') (button.nextElementSibling as HTMLElement | null)?.focus();
      if (event.key === 'ArrowUp' || event.key === 'ArrowLeft') (button.previousElementSibling as HTMLElement | null)?.focus();
    };
    dom.append(button);
  }
  return { dom, mount: () => (dom.firstElementChild as HTMLElement).focus() };
}

function apply(view: EditorView, action: Action): void {
  const plugin = LSPPlugin.get(view);
  const edits = plugin && action.edit?.changes?.[plugin.uri];
  if (!plugin || !edits) return;
  const changes = edits.map(({ range, newText }) => ({ from: plugin.fromPosition(range.start), to: plugin.fromPosition(range.end), insert: newText }));
  view.dispatch({ changes, effects: setActions.of([]), userEvent: 'input.fix' });
  view.focus();
}

// What mends the findings of the line: the only way at once, of several the one that is chosen.
function fix(view: EditorView): boolean {
  const plugin = LSPPlugin.get(view);
  if (!plugin) return false;
  plugin.client.sync();
  const line = view.state.doc.lineAt(view.state.selection.main.head);
  const range = { start: plugin.toPosition(line.from), end: plugin.toPosition(line.to) };
  plugin.client
    .request<unknown, Action[] | null>('textDocument/codeAction', { textDocument: { uri: plugin.uri }, range, context: { diagnostics: [] } })
    .then(
      (actions) => {
        if (actions?.length === 1) apply(view, actions[0]);
        else if (actions?.length) view.dispatch({ effects: setActions.of(actions) });
      },
      () => {},
    );
  return true;
}

const style = HighlightStyle.define([
  { tag: [tags.definition(tags.propertyName), tags.propertyName], color: 'var(--code-key)' },
  { tag: tags.comment, color: 'var(--muted)', fontStyle: 'italic' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--code-string)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--code-number)' },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: 'var(--muted)' },
]);

const theme = EditorView.theme({
  '&': { height: '100%', fontSize: '13px', backgroundColor: 'var(--card)', color: 'var(--ink)' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.6' },
  '.cm-content': { caretColor: 'var(--ink)', padding: '8px 0' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '&.cm-focused': { outline: 'none' },
  '.cm-gutters': { backgroundColor: 'var(--card)', color: 'var(--faint)', border: 'none' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'color-mix(in srgb, var(--accent) 7%, transparent)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'var(--selected)' },
  '.cm-matchingBracket': { backgroundColor: 'var(--selected)', outline: 'none' },
  '.cm-hint': { marginLeft: '14px', color: 'var(--faint)', fontSize: '11.5px', userSelect: 'none', cursor: 'default' },
  '.cm-tooltip': { border: '1px solid var(--border)', borderRadius: '8px', backgroundColor: 'var(--card)', color: 'var(--ink)', boxShadow: 'var(--shadow)', overflow: 'hidden' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', fontSize: '12px' },
  '.cm-tooltip-autocomplete > ul > li[aria-selected]': { backgroundColor: 'var(--selected)', color: 'var(--ink)' },
  '.cm-completionDetail': { color: 'var(--muted)', fontStyle: 'normal' },
  '.cm-lsp-hover-tooltip, .cm-lsp-documentation, .cm-lsp-signature-tooltip': { padding: '4px 12px', maxWidth: '560px', maxHeight: '380px', overflow: 'auto', fontFamily: 'var(--font)', lineHeight: '1.45' },
  '.cm-tooltip table': { borderCollapse: 'collapse', fontSize: '12px' },
  '.cm-tooltip td, .cm-tooltip th': { border: '1px solid var(--border)', padding: '2px 6px', textAlign: 'left' },
  '.cm-diagnostic': { padding: '5px 10px', whiteSpace: 'pre-wrap' },
  '.cm-panels': { backgroundColor: 'var(--group)', color: 'var(--ink)', borderColor: 'var(--border)' },
  '.cm-actions': { display: 'flex', flexDirection: 'column', gap: '2px', padding: '6px' },
  '.cm-actions button': { padding: '4px 10px', border: '0', borderRadius: '6px', background: 'none', color: 'var(--ink)', font: 'inherit', textAlign: 'left', cursor: 'pointer' },
  '.cm-actions button:hover, .cm-actions button:focus': { backgroundColor: 'var(--selected)', outline: 'none' },
});

export interface EditorOptions {
  parent: HTMLElement;
  nonce: string;
  changed: (text: string) => void;
  moved: (line: number) => void;
  save: () => void;
}

// One editor whose text, file and language server can be changed.
export class Editor {
  private language = new Compartment();
  private uri = 'file:///spec.yaml';
  private client: LSPClient | null = null;
  readonly view: EditorView;

  constructor(private options: EditorOptions) {
    this.view = new EditorView({ parent: options.parent, state: this.state('') });
  }

  private state(text: string): EditorState {
    const { options } = this;
    const extensions: Extension[] = [
      EditorView.cspNonce.of(options.nonce),
      lineNumbers(),
      foldGutter(),
      history(),
      drawSelection(),
      indentOnInput(),
      bracketMatching(),
      closeBrackets(),
      autocompletion(),
      highlightActiveLine(),
      highlightActiveLineGutter(),
      yaml(),
      syntaxHighlighting(style),
      theme,
      hintField,
      actionField,
      keymap.of([
        { key: 'Mod-s', run: () => (options.save(), true), preventDefault: true },
        { key: 'Mod-.', run: fix },
        { key: 'Alt-Enter', run: fix },
      ]),
      keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, ...lintKeymap, indentWithTab]),
      EditorState.tabSize.of(2),
      EditorView.contentAttributes.of({ 'aria-label': 'The spec' }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) options.changed(update.state.doc.toString());
        if (update.selectionSet || update.docChanged) options.moved(update.state.doc.lineAt(update.state.selection.main.head).number);
      }),
      this.language.of(this.connected()),
    ];
    return EditorState.create({ doc: text, extensions });
  }

  private connected(): Extension {
    return this.client ? [this.client.plugin(this.uri, 'cnnspec'), hintPlugin] : [];
  }

  get text(): string {
    return this.view.state.doc.toString();
  }

  open(name: string, text: string): void {
    this.uri = `file:///${name.split('/').map(encodeURIComponent).join('/')}`;
    this.view.setState(this.state(text));
    this.view.focus();
  }

  // Another text for the same file, as it is on the disk by now.
  replace(text: string): void {
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text } });
  }

  connect(client: LSPClient | null): void {
    this.client = client;
    this.view.dispatch({ effects: this.language.reconfigure(this.connected()) });
  }

  goTo(line: number): void {
    const { from } = this.view.state.doc.line(Math.min(line, this.view.state.doc.lines));
    if (this.view.state.doc.lineAt(this.view.state.selection.main.head).number === line) return;
    this.view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: 'center' }) });
  }
}
