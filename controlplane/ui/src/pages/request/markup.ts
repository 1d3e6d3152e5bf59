/**
 * What models write, read as typography: headings, lists, quotes, tables, blocks of code, emphasis. HTML is text, addresses are
 * text, pictures are not fetched: what somebody else wrote can be neither clicked nor loaded.
 *
 * One pass over lines, one over the characters of a line; emphasis looks ahead a bounded way, so that no text takes more than
 * linear time.
 */

export type Inline =
  | { kind: 'text'; text: string }
  | { kind: 'code'; text: string }
  | { kind: 'strong' | 'em' | 'strike'; children: Inline[] }
  | { kind: 'link'; text: string; address: string };

export type Markdown =
  | { kind: 'heading'; level: number; children: Inline[] }
  | { kind: 'paragraph'; children: Inline[] }
  | { kind: 'code'; language: string; text: string }
  | { kind: 'list'; ordered: boolean; start: number; items: Markdown[][] }
  | { kind: 'quote'; children: Markdown[] }
  | { kind: 'table'; head: Inline[][]; rows: Inline[][][] }
  | { kind: 'rule' };

/** Lists and quotes within each other; deeper ones are text. */
const DEPTH_MAX = 8;
/** How far the end of an emphasis, a piece of code or an address may be from its beginning. */
const REACH = 2000;
const NESTED_MAX = 6;

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])\s*(\1\s*){2,}$/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(\s+|$)(.*)$/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/** The blocks of a text. */
export function markdown(text: string): Markdown[] {
  return blocks(text.replaceAll('\r\n', '\n').split('\n'), 0);
}

function blocks(lines: readonly string[], depth: number): Markdown[] {
  const out: Markdown[] = [];
  let paragraph: string[] = [];
  const flush = () => {
    if (paragraph.length > 0) out.push({ kind: 'paragraph', children: inline(paragraph.join('\n')) });
    paragraph = [];
  };
  for (let at = 0; at < lines.length; ) {
    const line = lines[at] ?? '';
    const found = blank(line) ? { next: at + 1 } : special(lines, at, depth, paragraph.length > 0);
    if (found === null) {
      paragraph.push(line.trim());
      at += 1;
      continue;
    }
    flush();
    if ('block' in found && found.block !== undefined) out.push(found.block);
    at = found.next;
  }
  flush();
  return out;
}

const blank = (line: string): boolean => line.trim() === '';

interface Found {
  block?: Markdown;
  next: number;
}

/** The block that begins at a line and is no paragraph. */
function special(lines: readonly string[], at: number, depth: number, inParagraph: boolean): Found | null {
  const line = lines[at] ?? '';
  const fence = FENCE.exec(line);
  if (fence !== null) return fenced(lines, at, fence[1] ?? '```', fence[2] ?? '');
  const heading = HEADING.exec(line);
  if (heading !== null) {
    const level = (heading[1] ?? '#').length;
    return { block: { kind: 'heading', level, children: inline(heading[2] ?? '') }, next: at + 1 };
  }
  if (RULE.test(line)) return { block: { kind: 'rule' }, next: at + 1 };
  if (depth < DEPTH_MAX) {
    if (/^ {0,3}>/.test(line)) return quote(lines, at, depth);
    const item = ITEM.exec(line);
    // A number in the middle of a paragraph is no list, unless it is the first.
    if (item !== null && !(inParagraph && /^\d/.test(item[2] ?? '') && !/^1[.)]/.test(item[2] ?? ''))) {
      return list(lines, at, depth, item);
    }
  }
  if (
    !inParagraph &&
    line.includes('|') &&
    DIVIDER.test(lines[at + 1] ?? '') &&
    (lines[at + 1] ?? '').includes('-')
  ) {
    return table(lines, at);
  }
  return null;
}

function fenced(lines: readonly string[], at: number, mark: string, language: string): Found {
  let end = at + 1;
  const closes = (line: string): boolean => {
    const text = line.trim();
    return text.length >= mark.length && text === (mark[0] ?? '`').repeat(text.length);
  };
  while (end < lines.length && !closes(lines[end] ?? '')) end += 1;
  return { block: { kind: 'code', language, text: lines.slice(at + 1, end).join('\n') }, next: end + 1 };
}

function quote(lines: readonly string[], at: number, depth: number): Found {
  let end = at;
  const inner: string[] = [];
  while (end < lines.length && !blank(lines[end] ?? '')) {
    const line = lines[end] ?? '';
    if (!/^ {0,3}>/.test(line) && (FENCE.test(line) || HEADING.test(line) || ITEM.test(line))) break;
    inner.push(line.replace(/^ {0,3}> ?/, ''));
    end += 1;
  }
  return { block: { kind: 'quote', children: blocks(inner, depth + 1) }, next: end };
}

function list(lines: readonly string[], from: number, depth: number, first: RegExpExecArray): Found {
  const ordered = /^\d/.test(first[2] ?? '');
  const start = ordered ? Number.parseInt(first[2] ?? '1', 10) : 1;
  const items: Markdown[][] = [];
  let at = from;
  while (at < lines.length) {
    const item = ITEM.exec(lines[at] ?? '');
    if (item === null || /^\d/.test(item[2] ?? '') !== ordered || RULE.test(lines[at] ?? '')) break;
    const indent =
      (item[1] ?? '').length + (item[2] ?? '').length + Math.min(Math.max((item[3] ?? ' ').length, 1), 4);
    const inner = [item[4] ?? ''];
    at += 1;
    // What is indented belongs to the item; so does a line right below it that begins nothing else.
    while (at < lines.length) {
      const line = lines[at] ?? '';
      const width = line.length - line.trimStart().length;
      if (blank(line)) {
        const next = lines[at + 1];
        if (next === undefined || blank(next) || next.length - next.trimStart().length < 2) break;
        inner.push('');
      } else if (width >= 2) {
        inner.push(line.slice(Math.min(width, indent)));
      } else if (
        ITEM.test(line) ||
        FENCE.test(line) ||
        HEADING.test(line) ||
        RULE.test(line) ||
        blank(lines[at - 1] ?? '')
      ) {
        break;
      } else {
        inner.push(line);
      }
      at += 1;
    }
    items.push(blocks(inner, depth + 1));
    // A blank line between items does not end the list.
    if (blank(lines[at] ?? 'x') && ITEM.test(lines[at + 1] ?? '')) at += 1;
  }
  return { block: { kind: 'list', ordered, start, items }, next: at };
}

function table(lines: readonly string[], at: number): Found {
  const cells = (line: string): Inline[][] =>
    line
      .trim()
      .replace(/^\||\|$/g, '')
      .split(/(?<!\\)\|/)
      .map(cell => inline(cell.trim().replaceAll('\\|', '|')));
  const head = cells(lines[at] ?? '');
  const rows: Inline[][][] = [];
  let end = at + 2;
  while (end < lines.length && (lines[end] ?? '').includes('|') && !blank(lines[end] ?? '')) {
    rows.push(cells(lines[end] ?? '').slice(0, head.length));
    end += 1;
  }
  return { block: { kind: 'table', head, rows }, next: end };
}

const MARKS = [
  ['**', 'strong'],
  ['__', 'strong'],
  ['~~', 'strike'],
  ['*', 'em'],
  ['_', 'em'],
] as const;

/** The pieces of a line. */
export function inline(text: string, depth = 0): Inline[] {
  const out: Inline[] = [];
  let plain = '';
  const flush = () => {
    if (plain !== '') out.push({ kind: 'text', text: plain });
    plain = '';
  };
  for (let at = 0; at < text.length; ) {
    const found = piece(text, at, depth);
    if (found === null) {
      // On to the next character that may begin something.
      const from = at;
      at += 1;
      while (at < text.length && !'\\`*_~[!'.includes(text[at] ?? '')) at += 1;
      plain += text.slice(from, at);
    } else if ('text' in found) {
      plain += found.text;
      at = found.next;
    } else {
      flush();
      out.push(found.inline);
      at = found.next;
    }
  }
  flush();
  return out;
}

type Piece = { inline: Inline; next: number } | { text: string; next: number } | null;

function piece(text: string, at: number, depth: number): Piece {
  const mark = text[at];
  if (mark === '\\' && /[!-/:-@[-`{-~]/.test(text[at + 1] ?? ''))
    return { text: text[at + 1] ?? '', next: at + 2 };
  if (mark === '`') return codeSpan(text, at);
  if (mark === '[' || (mark === '!' && text[at + 1] === '[')) return link(text, at);
  if (depth >= NESTED_MAX) return null;
  for (const [sign, kind] of MARKS) {
    if (!text.startsWith(sign, at)) continue;
    const from = at + sign.length;
    // `snake_case` is no emphasis, and neither is a sign before a space.
    if (/\s/.test(text[from] ?? ' ') || (sign[0] === '_' && /\w/.test(text[at - 1] ?? ''))) continue;
    const end = closing(text, from, sign);
    if (end === -1) continue;
    return { inline: { kind, children: inline(text.slice(from, end), depth + 1) }, next: end + sign.length };
  }
  return null;
}

function closing(text: string, from: number, sign: string): number {
  const window = text.slice(from, from + REACH);
  for (let end = window.indexOf(sign); end !== -1; end = window.indexOf(sign, end + 1)) {
    if (end === 0 || /\s/.test(window[end - 1] ?? '')) continue;
    if (sign.length === 1 && (window[end + 1] === sign || window[end - 1] === sign)) continue;
    if (sign[0] === '_' && /\w/.test(window[end + sign.length] ?? '')) continue;
    return from + end;
  }
  return -1;
}

function codeSpan(text: string, at: number): Piece {
  let from = at;
  while (text[from] === '`') from += 1;
  const mark = text.slice(at, from);
  const window = text.slice(from, from + REACH);
  const end = window.indexOf(mark);
  if (end === -1) return { text: mark, next: from };
  return { inline: { kind: 'code', text: window.slice(0, end) }, next: from + end + mark.length };
}

function link(text: string, at: number): Piece {
  const found = /^!?\[([^\][]{0,500})\]\(([^()\s]{0,1500})(?:\s+"[^"]{0,200}")?\)/.exec(
    text.slice(at, at + REACH),
  );
  if (found === null) return null;
  return {
    inline: { kind: 'link', text: found[1] ?? '', address: found[2] ?? '' },
    next: at + found[0].length,
  };
}
