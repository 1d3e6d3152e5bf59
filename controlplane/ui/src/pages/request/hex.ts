/** Bytes as lines of sixteen: place, numbers, characters. */
export function hexDump(bytes: Uint8Array, from = 0): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const numbers = row.map(byte => byte.toString(16).padStart(2, '0'));
    const left = numbers.slice(0, 8).join(' ').padEnd(23);
    const right = numbers.slice(8).join(' ').padEnd(23);
    const characters = row
      .map(byte => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·'))
      .join('');
    lines.push(`${(from + at).toString(16).padStart(8, '0')}  ${left}  ${right}  ${characters}`);
  }
  return lines.join('\n');
}

/** Whether bytes are text: UTF-8, up to a character that is cut at the end, and without NUL. */
export function isText(bytes: Uint8Array): boolean {
  const cut = bytes.subarray(0, Math.max(0, bytes.length - 3));
  if (cut.includes(0)) return false;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(cut, { stream: true });
    return true;
  } catch {
    return false;
  }
}
