/// <reference types="node" />
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { type CurlInput, curl, curlHeaders, INLINE_MAX, pasteable, quoted } from './curl';

/** What a shell makes of a word. */
const shell = (command: string): string => execFileSync('/bin/sh', ['-c', command], { encoding: 'utf8' });

const input = (more: Partial<CurlInput> = {}): CurlInput => ({
  origin: 'http://sluice.test:8080',
  method: 'POST',
  target: '/v1/messages?beta=true',
  headers: [],
  body: '{}',
  hasBody: true,
  file: 'request.json',
  ...more,
});

describe('quoting', () => {
  it('brings every word through a shell as it is', () => {
    for (const word of [
      'plain',
      "it's",
      '$(touch /tmp/x)',
      '`id`',
      '"; rm -rf ~; "',
      "'; id; '",
      'a\nb\\',
      '!history',
      '*?[a]',
      '~',
      '',
      "''''",
      '\\',
      'ünïcode 🙂',
      '-n',
    ]) {
      expect(shell(`printf '%s' ${quoted(word)}`)).toBe(word);
    }
  });

  it('brings a whole command through a shell', () => {
    const body = `{"a":"it's $(id) \`id\` \\" @x"}`;
    const command = curl(input({ body, headers: [{ name: 'x-a', value: "'; id; '" }] }));
    const args = shell(command.replace(/^curl/, "printf '%s\\037'")).split('\x1f').slice(0, -1);
    expect(args).toEqual([
      'http://sluice.test:8080/v1/messages?beta=true',
      '-H',
      "x-a: '; id; '",
      '--data-raw',
      body,
    ]);
  });
});

describe('what the command states', () => {
  const names = (headers: CurlInput['headers']) => curlHeaders(headers).map(({ name }) => name);
  it('leaves out credentials, the connection and what cannot be a name', () => {
    expect(
      names([
        { name: 'Authorization', value: 'Bearer x' },
        { name: 'x-api-key', value: 'k' },
        { name: 'x-custom', value: '***' },
        { name: 'x-my-token', value: 't' },
        { name: 'cookie', value: 'c' },
        { name: 'host', value: 'h' },
        { name: 'content-length', value: '3' },
        { name: 'tailscale-user-login', value: 'a' },
        { name: '@file', value: 'x' },
        { name: 'a: b\r\nc', value: 'x' },
        { name: 'content-type', value: 'application/json' },
        { name: 'anthropic-version', value: '2023-06-01' },
      ]),
    ).toEqual(['content-type', 'anthropic-version']);
  });

  it('says the method where curl would not, and takes no pattern out of an address', () => {
    expect(curl(input({ method: 'GET', hasBody: false, target: '/v1/models' }))).toBe(
      'curl http://sluice.test:8080/v1/models',
    );
    expect(curl(input({ method: 'DELETE', hasBody: false }))).toContain('-X DELETE');
    expect(curl(input({ target: '/v1/[1-9]' }))).toContain('--globoff');
    expect(curl(input({ method: 'POST\nid' }))).not.toContain('id');
  });

  it('keeps a field without a value, and lines out of fields', () => {
    const command = curl(
      input({
        headers: [
          { name: 'x-a', value: '' },
          { name: 'x-b', value: 'a\r\nx-c: d' },
        ],
      }),
    );
    expect(command).toContain("-H 'x-a;'");
    expect(command).toContain("-H 'x-b: a x-c: d'");
  });
});

describe('bodies', () => {
  it('escapes what a terminal acts upon, in JSON, without changing what it says', () => {
    for (const value of [
      '\u001b[201~id\n',
      '\u202eabc',
      '\u0085\u009b',
      '\ud800',
      '🙂\u200b',
      'a\r\nb',
      'plain',
    ]) {
      // Written by a careless client: with the characters as they are, where JSON allows it.
      const raw = JSON.stringify({ value }).replaceAll('\\ud800', '\ud800').replaceAll('\\u202e', '\u202e');
      const safe = pasteable(raw) ?? '';
      expect(JSON.parse(safe)).toEqual({ value });
      expect([...safe].filter(one => one !== '\n' && /[\p{Cc}\p{Cf}\p{Cs}]/u.test(one))).toEqual([]);
    }
  });

  it('takes a file where a body cannot be written down', () => {
    expect(pasteable('no JSON \u001b')).toBeNull();
    expect(pasteable('x'.repeat(INLINE_MAX + 1))).toBeNull();
    expect(curl(input({ body: null }))).toContain('--data-binary @request.json');
    expect(curl(input({ body: '@/etc/passwd' }))).toContain('--data-raw @/etc/passwd');
  });
});
