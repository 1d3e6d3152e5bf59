// Names as parts of paths. The gateway takes no path that two readers could take for different ones.

/** What stands in no path, however it is encoded; nor do `.` and `..`. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const REFUSED = /[/\\%;\u0000-\u001f\u007f]|^~|^\.{1,2}$/;

/** A name as a part of a path, before it is percent-encoded: as it is, or `~` and its UTF-8 in base64url. */
export function segment(name: string): string {
  if (!REFUSED.test(name)) return name;
  const bytes = new TextEncoder().encode(name);
  const base64 = btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));
  return `~${base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`;
}

/** The name that a part of a path stands for; as it is where it cannot be read. */
export function nameOf(part: string): string {
  if (!part.startsWith('~')) return part;
  try {
    const base64 = part.slice(1).replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(base64), byte => byte.charCodeAt(0));
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return part;
  }
}

/** Parameters that are the rest of a path: their slashes stay. */
const REST = new Set(['model']);

/** A path with its parameters: `/api/people/{login}`. */
export function filled(path: string, parameters: Record<string, unknown>): string {
  return path.replace(/\{([^}]+)\}/g, (_, name: string) => {
    const value = String(parameters[name]);
    return REST.has(name)
      ? value.split('/').map(encodeURIComponent).join('/')
      : encodeURIComponent(segment(value));
  });
}
