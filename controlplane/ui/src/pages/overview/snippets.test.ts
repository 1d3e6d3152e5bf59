import { describe, expect, it } from 'vitest';
import { firstSnippets, shellWord } from './snippets';

describe('snippets', () => {
  it('name this gateway and nothing else', () => {
    for (const { text } of firstSnippets('http://gw:8080', undefined))
      expect(text).toContain('http://gw:8080');
  });

  it('quote what a shell would take apart', () => {
    const check = (text: string, word: string) => expect(shellWord(text)).toBe(word);
    check('gpt-5.5', 'gpt-5.5');
    check('a b', "'a b'");
    check("it's $(id)", "'it'\\''s $(id)'");
    check('', "''");
  });

  it('begin with a call that works here, if one is known', () => {
    expect(firstSnippets('http://gw', 'curl x')[0]?.text).toBe('curl x');
    expect(firstSnippets('http://gw', undefined)[0]?.text).toBe(
      `curl http://gw/v1/chat/completions \\\n  -H 'content-type: application/json' \\\n  -d '{"model":"gpt-5.5","messages":[{"role":"user","content":"hi"}]}'`,
    );
  });
});
