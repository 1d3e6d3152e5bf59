import { describe, expect, it } from 'vitest';
import { callOf } from './snippet';

describe('a call', () => {
  it('is in a format that is served', () => {
    const path = (endpoints: string[]) => callOf('http://gw', 'm', endpoints)?.split(' ')[1];
    expect(path(['openai_responses', 'openai_chat'])).toBe('http://gw/v1/chat/completions');
    expect(path(['anthropic_messages'])).toBe('http://gw/v1/messages');
    expect(path(['openai_responses'])).toBe('http://gw/v1/responses');
    expect(path(['gemini_generate_content'])).toBe('http://gw/v1beta/models/m:generateContent');
    expect(path(['bedrock_converse'])).toBeUndefined();
    expect(path([])).toBeUndefined();
  });

  it('holds a hostile name as one word of the shell', () => {
    const text = callOf('http://gw', "x'; rm -rf /", ['openai_chat']) ?? '';
    expect(text).toContain(`"x'\\''; rm -rf /"`);
    expect(callOf('http://gw', 'a b/../c', ['gemini_generate_content'])).toContain('a%20b%2F..%2Fc');
  });
});
