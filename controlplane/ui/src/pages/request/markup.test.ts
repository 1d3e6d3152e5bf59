import { describe, expect, it } from 'vitest';
import { type Inline, inline, type Markdown, markdown } from './markup';

const line = (part: Inline): string => {
  switch (part.kind) {
    case 'text':
      return part.text;
    case 'code':
      return `‹${part.text}›`;
    case 'link':
      return `[${part.text}→${part.address}]`;
    default:
      return `${part.kind}(${part.children.map(line).join('')})`;
  }
};
const block = (part: Markdown): string => {
  switch (part.kind) {
    case 'heading':
      return `h${part.level} ${part.children.map(line).join('')}`;
    case 'paragraph':
      return `p ${part.children.map(line).join('')}`;
    case 'code':
      return `code ${part.language}: ${part.text}`;
    case 'list':
      return `${part.ordered ? `ol${part.start}` : 'ul'}(${part.items.map(item => item.map(block).join('; ')).join(' | ')})`;
    case 'quote':
      return `quote(${part.children.map(block).join('; ')})`;
    case 'table':
      return `table ${[part.head, ...part.rows].map(row => row.map(cell => cell.map(line).join('')).join(',')).join(' / ')}`;
    case 'rule':
      return 'rule';
  }
};
const check = (text: string, ...expected: string[]) => expect(markdown(text).map(block)).toEqual(expected);

describe('blocks', () => {
  it('reads what models write', () => {
    check('# One\n\nText\nmore\n\n## Two ##', 'h1 One', 'p Text\nmore', 'h2 Two');
    check('```js\na\n  b\n```\nx', 'code js: a\n  b', 'p x');
    check('~~~\n```\n~~~', 'code : ```');
    check('```\nnot closed', 'code : not closed');
    check('- a\n- b\n  more\n\n- c', 'ul(p a | p b\nmore | p c)');
    check('1. a\n   - x\n   - y\n2. b', 'ol1(p a; ul(p x | p y) | p b)');
    check('3) a', 'ol3(p a)');
    check('> a\n> b\n\nc', 'quote(p a\nb)', 'p c');
    check('| a | b |\n|---|:-:|\n| 1 | `x` |\n\nend', 'table a,b / 1,‹x›', 'p end');
    check('a\n---\nb', 'p a', 'rule', 'p b');
    check('- ```\n  code\n  ```\n- b', 'ul(code : code | p b)');
  });
  it('keeps a text that only looks like it', () => {
    check('In 2024\n1984. was a book', 'p In 2024\n1984. was a book');
    check('#nothing', 'p #nothing');
    check('a | b', 'p a | b');
  });
});

describe('lines', () => {
  const check = (text: string, expected: string) => expect(inline(text).map(line).join('')).toBe(expected);
  it('reads emphasis, code and addresses', () => {
    check('a **b *c* d** e', 'a strong(b em(c) d) e');
    check('`**x**` ``a`b``', '‹**x**› ‹a`b›');
    check('[t](https://x.y "z") ![i](data:x)', '[t→https://x.y] [i→data:x]');
    check('~~x~~ \\*y\\*', 'strike(x) *y*');
  });
  it('keeps signs that are none', () => {
    check('snake_case_name 2 * 3 * 4 a**', 'snake_case_name 2 * 3 * 4 a**');
    check('`open', '`open');
    check('[x] (y)', '[x] (y)');
    check('<script>alert(1)</script>', '<script>alert(1)</script>');
  });
});

describe('hostile texts', () => {
  it('are read in linear time', () => {
    for (const unit of [
      '*',
      '_',
      '**a',
      '`',
      '[',
      '![',
      '> ',
      '- ',
      '#',
      '|',
      '~~',
      '\\',
      '[a](',
      '```\n',
      '1. ',
      '*a ',
    ]) {
      const text = unit.repeat(40_000);
      // With quadratic time this takes minutes, and the test its time limit.
      expect(markdown(text).length).toBeGreaterThan(0);
    }
  });
});
