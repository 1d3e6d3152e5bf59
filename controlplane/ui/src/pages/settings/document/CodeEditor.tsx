import {
  autocompletion,
  type CompletionContext,
  type CompletionResult,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
} from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { bracketMatching, codeFolding, foldGutter, foldKeymap, indentUnit } from '@codemirror/language';
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from '@codemirror/lint';
import { unifiedMergeView } from '@codemirror/merge';
import { highlightSelectionMatches, search, searchKeymap } from '@codemirror/search';
import { EditorState, type Extension } from '@codemirror/state';
import {
  EditorView,
  highlightActiveLine,
  highlightSpecialChars,
  hoverTooltip,
  keymap,
  lineNumbers,
} from '@codemirror/view';
import { useEffect, useRef } from 'react';
import { cspNonce } from '@/shell/nonce';
import { complete, describe } from '../hujson';
import type { EditorProps, Message } from './Editor';
import { hujson } from './language';
import { theme } from './theme';

/** An editor for the document: completes from the schema, marks what the gateway says, or shows a difference. */
export default function CodeEditor({ text, onChange, onSave, messages, before, line, label }: EditorProps) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const handlers = useRef({ onChange, onSave });
  handlers.current = { onChange, onSave };
  const first = useRef(text);
  const editable = onChange !== undefined;

  useEffect(() => {
    if (place.current === null) return;
    const editor = new EditorView({
      parent: place.current,
      state: EditorState.create({
        doc: first.current,
        extensions: extensions({ label, editable, before, handlers }),
      }),
    });
    view.current = editor;
    return () => {
      first.current = editor.state.doc.toString();
      editor.destroy();
      view.current = null;
    };
  }, [label, editable, before]);

  useEffect(() => {
    const editor = view.current;
    if (editor === null || editor.state.doc.toString() === text) return;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: text } });
  }, [text]);

  useEffect(() => {
    const editor = view.current;
    if (editor !== null && messages !== undefined) {
      editor.dispatch(setDiagnostics(editor.state, diagnostics(editor.state, messages)));
    }
  }, [messages]);

  useEffect(() => {
    const editor = view.current;
    if (editor === null || line === undefined) return;
    const at = editor.state.doc.line(Math.min(Math.max(line.number, 1), editor.state.doc.lines));
    editor.dispatch({
      selection: { anchor: at.from },
      effects: EditorView.scrollIntoView(at.from, { y: 'center' }),
    });
    editor.focus();
  }, [line]);

  return <div className="config-editor" ref={place} />;
}

interface Options {
  label: string;
  editable: boolean;
  before: string | undefined;
  handlers: { current: Pick<EditorProps, 'onChange' | 'onSave'> };
}

function extensions({ label, editable, before, handlers }: Options): Extension[] {
  const nonce = cspNonce();
  const shared: Extension[] = [
    lineNumbers(),
    highlightSpecialChars(),
    hujson,
    theme,
    EditorView.contentAttributes.of({ 'aria-label': label, tabindex: '0' }),
    ...(nonce === '' ? [] : [EditorView.cspNonce.of(nonce)]),
    search({ top: true }),
    indentUnit.of('  '),
  ];
  if (before !== undefined) {
    shared.push(
      unifiedMergeView({
        original: before,
        mergeControls: false,
        collapseUnchanged: { margin: 3, minSize: 6 },
      }),
    );
  }
  if (!editable) {
    return [...shared, EditorState.readOnly.of(true), EditorView.editable.of(false), keymap.of(searchKeymap)];
  }
  return [
    ...shared,
    history(),
    codeFolding(),
    foldGutter(),
    lintGutter(),
    bracketMatching(),
    closeBrackets(),
    highlightActiveLine(),
    highlightSelectionMatches(),
    autocompletion({ override: [completions], icons: false }),
    hoverTooltip(explanation),
    keymap.of([
      {
        key: 'Mod-s',
        preventDefault: true,
        run: () => {
          handlers.current.onSave?.();
          return true;
        },
      },
      ...closeBracketsKeymap,
      ...completionKeymap,
      ...defaultKeymap,
      ...historyKeymap,
      ...searchKeymap,
      ...foldKeymap,
      ...lintKeymap,
      // Tab indents; Esc, then Tab, leaves the editor.
      indentWithTab,
    ]),
    EditorView.updateListener.of(update => {
      if (update.docChanged) handlers.current.onChange?.(update.state.doc.toString());
    }),
  ];
}

function completions(context: CompletionContext): CompletionResult | null {
  const before = context.state.sliceDoc(Math.max(0, context.pos - 1), context.pos);
  if (!context.explicit && !/["\w]/.test(before)) return null;
  const found = complete(context.state.doc.toString(), context.pos);
  if (found === null) return null;
  return {
    from: found.from,
    filter: false,
    options: rank(found.options, context.state.sliceDoc(found.from, context.pos)).map(option => ({
      label: option.label,
      detail: option.detail,
      info: option.description,
      type: option.kind,
      apply: (view, _completion, from, to) => {
        // A closing quote that the editor has put in already is replaced, too.
        const end = view.state.sliceDoc(to, to + 1) === '"' ? to + 1 : to;
        view.dispatch({
          changes: { from, to: end, insert: option.text },
          selection: { anchor: from + option.text.length },
        });
      },
    })),
  };
}

/** Those that hold what was typed, those that begin with it first. */
function rank<T extends { label: string }>(options: readonly T[], typed: string): T[] {
  const word = typed.replaceAll('"', '').toLowerCase();
  const where = (option: T) => option.label.toLowerCase().indexOf(word);
  return options
    .filter(option => where(option) >= 0)
    .sort((a, b) => Number(where(a) > 0) - Number(where(b) > 0));
}

function explanation(view: EditorView, position: number) {
  const found = describe(view.state.doc.toString(), position);
  if (found === null) return null;
  return {
    pos: position,
    create() {
      const dom = document.createElement('div');
      dom.className = 'config-hover';
      const path = document.createElement('code');
      path.textContent = found.path;
      const text = document.createElement('div');
      text.textContent = found.description;
      dom.append(path, text);
      return { dom };
    },
  };
}

function diagnostics(state: EditorState, messages: readonly Message[]): Diagnostic[] {
  return messages.map(message => {
    const line = state.doc.line(Math.min(Math.max(message.line, 1), state.doc.lines));
    const from = Math.min(line.from + Math.max(message.column - 1, 0), line.to);
    const token = /^("(?:[^"\\]|\\.)*"|[\w.-]+|.)/.exec(state.sliceDoc(from, line.to))?.[0].length ?? 0;
    return {
      from,
      to: Math.min(from + token, line.to),
      severity: message.severity === 'notice' ? 'info' : message.severity,
      message: message.text,
    };
  });
}
