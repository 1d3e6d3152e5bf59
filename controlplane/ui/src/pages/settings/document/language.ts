// HuJSON for the editor: JSON with comments and trailing commas, token by token.
import { HighlightStyle, indentService, StreamLanguage, syntaxHighlighting } from '@codemirror/language';
import { tags } from '@lezer/highlight';

interface State {
  /** Inside a comment of several lines. */
  comment: boolean;
}

const language = StreamLanguage.define<State>({
  name: 'hujson',
  startState: () => ({ comment: false }),
  token(stream, state) {
    if (state.comment || stream.match('/*')) {
      state.comment = !stream.match(/^.*?\*\//);
      if (state.comment) stream.skipToEnd();
      return 'comment';
    }
    if (stream.match('//')) {
      stream.skipToEnd();
      return 'comment';
    }
    if (stream.match(/^"(?:[^"\\]|\\.)*"?/)) {
      return stream.match(/^\s*:/, false) ? 'propertyName' : 'string';
    }
    if (stream.match(/^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/)) return 'number';
    if (stream.match(/^(?:true|false|null)\b/)) return 'bool';
    stream.next();
    return null;
  },
  languageData: {
    commentTokens: { line: '//', block: { open: '/*', close: '*/' } },
    closeBrackets: { brackets: ['{', '[', '"'] },
    indentOnInput: /^\s*[}\]]$/,
  },
});

// Classes would do, but the library's own are numbered; colours are the theme's.
const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: 'var(--info)' },
  { tag: tags.string, color: 'var(--good)' },
  { tag: [tags.number, tags.bool], color: 'var(--warn)' },
  { tag: tags.comment, color: 'var(--text-3)', fontStyle: 'italic' },
]);

/** One step further in behind an opening bracket, one out before a closing one. */
const indentation = indentService.of((context, position) => {
  const line = context.state.doc.lineAt(position);
  const before = line.number === 1 ? null : context.state.doc.line(line.number - 1);
  if (before === null) return 0;
  const opened = /[[{]\s*(\/\/.*)?$/.test(before.text) ? context.unit : 0;
  const closed = /^\s*[}\]]/.test(line.text) ? context.unit : 0;
  return Math.max(0, context.lineIndent(before.from) + opened - closed);
});

export const hujson = [language, syntaxHighlighting(colours), indentation];
