/**
 * A request as a command of the shell: against this gateway's own address, without credentials.
 *
 * What stands in a capture is untrusted, and a command is pasted into a terminal: each word is quoted for POSIX shells,
 * and characters that terminals act upon (controls, direction marks) are escaped where the body is JSON. A body that cannot be
 * written down like that comes from a file.
 */

/** The fields of a head that belong to the connection, or that the gateway and curl make themselves. */
const OWN = new Set([
  ...[
    'host',
    'content-length',
    'connection',
    'accept-encoding',
    'transfer-encoding',
    'te',
    'trailer',
    'upgrade',
    'keep-alive',
  ],
  ...['expect', 'forwarded', 'via', 'x-real-ip', 'content-encoding', 'user-agent'],
]);
const OWN_PREFIXES = ['x-forwarded-', 'tailscale-', 'sec-', 'proxy-', 'x-amz-', 'x-stainless-'];
/** Fields that hold credentials, whatever stands in them. */
const SECRET =
  /^(authorization|cookie|x-api-key|api-key|x-goog-api-key|.*(token|secret|password|credential).*)$/i;
/** What stands in a capture in place of a credential. */
export const HIDDEN_VALUE = '***';

const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Characters of a body up to which it is written into the command. */
export const INLINE_MAX = 100_000;

export interface CurlInput {
  origin: string;
  method: string;
  /** Path and query as the client asked. */
  target: string;
  headers: readonly { name: string; value: string }[];
  /** The body; `null`: it is not there, or no text. */
  body: string | null;
  /** There is a body, even if it is not in `body`. */
  hasBody: boolean;
  /** Name of the file to read it from, if it cannot be written down. */
  file: string;
}

/** One word of a POSIX shell. */
export function quoted(word: string): string {
  if (/^[A-Za-z0-9_./:@%+,=-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

// Controls but tab and new line, and what changes the direction or the look of a line.
const ACTIVE_CLASS =
  '[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\ud800-\\udfff]';
const ACTIVE = new RegExp(ACTIVE_CLASS);
const PAIR = /[\ud800-\udbff][\udc00-\udfff]/g;

const isActive = (text: string): boolean => ACTIVE.test(text.replace(PAIR, ''));

/** A body that is safe to be pasted, with the same meaning; `null` if there is none. */
export function pasteable(body: string): string | null {
  if (body.length > INLINE_MAX) return null;
  if (!isActive(body)) return body;
  try {
    JSON.parse(body);
  } catch {
    return null;
  }
  // In JSON such characters stand in strings only, where each has an escape; a carriage return may stand between, too.
  const escapeOf = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  const escaped = body
    .replaceAll('\r', ' ')
    .replace(new RegExp(`${PAIR.source}|${ACTIVE_CLASS}`, 'g'), found =>
      found.length === 2 ? found : escapeOf(found),
    );
  return escaped;
}

const clean = (text: string): string =>
  text.replace(new RegExp(ACTIVE_CLASS, 'g'), '').replace(/[\t\n]/g, ' ');

/** The fields that the command states, in their order. */
export function curlHeaders(headers: CurlInput['headers']): { name: string; value: string }[] {
  return headers.filter(({ name, value }) => {
    const lower = name.toLowerCase();
    return (
      FIELD_NAME.test(name) &&
      value !== HIDDEN_VALUE &&
      !OWN.has(lower) &&
      !SECRET.test(lower) &&
      !OWN_PREFIXES.some(prefix => lower.startsWith(prefix)) &&
      !(lower === 'accept' && value === '*/*') &&
      !(lower === 'accept-language' && value === '*')
    );
  });
}

/** The command. */
export function curl({ origin, method, target, headers, body, hasBody, file }: CurlInput): string {
  const path = target.startsWith('/') ? target : `/${target}`;
  const parts = [`curl ${quoted(origin + clean(path).replaceAll(' ', '%20'))}`];
  const verb = /^[A-Z]+$/.test(method) ? method : 'POST';
  if (verb !== (hasBody ? 'POST' : 'GET')) parts.push(`-X ${verb}`);
  // Curl reads brackets and braces in addresses as patterns.
  if (/[[\]{}]/.test(path)) parts.push('--globoff');
  for (const { name, value } of curlHeaders(headers)) {
    const text = clean(value).trim();
    // Without a value curl would leave the field out, unless it ends in a semicolon.
    parts.push(`-H ${quoted(text === '' ? `${name};` : `${name}: ${text}`)}`);
  }
  if (hasBody) {
    const inline = body === null ? null : pasteable(body);
    // Not `--data-raw` for files, and not `--data` for texts: it would read a text that begins with @ as a file's name.
    parts.push(inline === null ? `--data-binary ${quoted(`@${file}`)}` : `--data-raw ${quoted(inline)}`);
  }
  return parts.join(' \\\n  ');
}
