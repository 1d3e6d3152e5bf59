import { expect, it } from 'vitest';
import { hexDump, isText } from './hex';

it('shows bytes with their places', () => {
  const bytes = new TextEncoder().encode('Hello, world! €\n');
  expect(hexDump(bytes, 16)).toBe(
    [
      '00000010  48 65 6c 6c 6f 2c 20 77  6f 72 6c 64 21 20 e2 82  Hello, world! ··',
      '00000020  ac 0a                                             ··',
    ].join('\n'),
  );
  expect(hexDump(new Uint8Array())).toBe('');
});

it('tells text from bytes', () => {
  const utf8 = (text: string) => new TextEncoder().encode(text);
  expect(isText(utf8('plain'))).toBe(true);
  expect(isText(utf8('zwölf €').subarray(0, 8))).toBe(true);
  expect(isText(new Uint8Array([1, 2, 0, 3, 4, 5, 6]))).toBe(false);
  expect(isText(new Uint8Array([0xff, 0xfe, 0x41, 0x42, 0x43, 0x44]))).toBe(false);
  expect(isText(new Uint8Array())).toBe(true);
});
