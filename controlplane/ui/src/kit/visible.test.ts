import { describe, expect, test } from 'vitest';
import { visible } from './visible';

describe('what cannot be seen is shown as a sign', () => {
  test.each([
    ['plain text\n\twith lines', 'plain text\n\twith lines'],
    ['a\u0000b\u001b[31m', 'a⟨U+0000⟩b⟨U+001B⟩[31m'],
    ['del\u007f', 'del⟨U+007F⟩'],
    ['line\r\n', 'line\n'],
    ['over\rwritten', 'over⟨U+000D⟩written'],
    ['\u202egnp.exe', '⟨U+202E⟩gnp.exe'],
    ['\u2066a\u2069', '⟨U+2066⟩a⟨U+2069⟩'],
    ['pay\u200bpal', 'pay⟨U+200B⟩pal'],
    ['\ufeffbom', '⟨U+FEFF⟩bom'],
    ['\u{e0041}tag', '⟨U+E0041⟩tag'],
    ['\u0085next', '⟨U+0085⟩next'],
    ['half \ud83d', 'half ⟨U+D83D⟩'],
    ['whole 😀 and 日本語, עברית', 'whole 😀 and 日本語, עברית'],
    // The parts of a family are joined by U+200D, and emoji are chosen by U+FE0F: both stay.
    ['👨‍👩‍👧 ❤️', '👨‍👩‍👧 ❤️'],
  ])('%j', (text, expected) => expect(visible(text)).toBe(expected));
});
