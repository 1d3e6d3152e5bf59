/**
 * Makes what a reader cannot see visible: control characters, bidi overrides and isolates, zero-width characters and line
 * separators stand as `⟨U+202E⟩`. New lines and tabs stay, and a carriage return before a new line is left out. Text that looks different from what
 * it is would otherwise be a way to deceive whoever reads a log.
 */
export function visible(text: string): string {
  if (!HIDDEN.test(text)) return text;
  return text.replaceAll('\r\n', '\n').replace(HIDDEN_ALL, sign);
}

// Controls but tab and new line; soft hyphen; Arabic letter mark; zero-width and directional marks; separators; bidi embeddings,
// overrides and isolates; invisible operators; variation selectors stay (emoji); byte order mark; interlinear anchors; tags.
const CLASS =
  '[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u115f\\u1160\\u180e\\u200b\\u200c\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\u{e0000}-\\u{e007f}\\ud800-\\udfff]';
const HIDDEN = new RegExp(CLASS, 'u');
const HIDDEN_ALL = new RegExp(CLASS, 'gu');

function sign(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`;
}
