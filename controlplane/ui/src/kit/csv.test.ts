import { expect, test } from 'vitest';
import { csv, csvCell } from './csv';

test.each([
  [null, ''],
  [0, '0'],
  [-3, '-3'],
  ['a,b', '"a,b"'],
  ['say "hi"', '"say ""hi"""'],
  ['=1+1', "'=1+1"],
  ['-x', "'-x"],
  ['@cmd', "'@cmd"],
  ['two\nlines', '"two\nlines"'],
  [['a'], '"[""a""]"'],
])('%j is %s', (value, expected) => expect(csvCell(value)).toBe(expected));

test('a table', () => expect(csv(['a', 'b'], [[1, 'x']])).toBe('a,b\r\n1,x'));
