import { describe as about, expect, test } from 'vitest';
import { append, complete, describe, lineOf, read, rename, set, show } from './hujson';
import { at, blank, keysAt, sections } from './schema';

const text = `{
  // Who serves.
  "providers": {
    "local": { "baseurl": "http://127.0.0.1:1", "models": ["a"], }, // ours
  },
  "grants": [],
}
`;

about('changes leave the rest as it was', () => {
  test('set', () => {
    const next = set(text, ['providers', 'local', 'disabled'], true);
    expect(read(next)).toEqual({
      value: {
        providers: { local: { baseurl: 'http://127.0.0.1:1', models: ['a'], disabled: true } },
        grants: [],
      },
      broken: false,
    });
    expect(next).toContain('// Who serves.');
    expect(next).toContain('// ours');
  });
  test('remove', () => {
    const next = set(text, ['providers', 'local'], undefined);
    expect(read(next)).toEqual({ value: { providers: {}, grants: [] }, broken: false });
    expect(next).toContain('// Who serves.');
    expect(next).not.toContain('// ours');
    expect(read(set('{"a": [1, 2]}', ['a', 1], undefined))).toEqual({ value: { a: [1] }, broken: false });
    expect(read(set('{"a": 1 /* , */ , "b": 2}', ['a'], undefined))).toEqual({
      value: { b: 2 },
      broken: false,
    });
    expect(set(text, ['none', 'x'], undefined)).toBe(text);
  });
  test('append', () => {
    const once = append(text, ['grants'], { src: ['*'] });
    expect(read(append(once, ['grants'], { src: ['a'] }))).toMatchObject({
      value: { grants: [{ src: ['*'] }, { src: ['a'] }] },
      broken: false,
    });
    expect(read(append(text, ['providers', 'local', 'models'], 'b'))).toMatchObject({
      value: { providers: { local: { models: ['a', 'b'] } } },
      broken: false,
    });
    expect(read(append('{}', ['grants'], 1))).toEqual({ value: { grants: [1] }, broken: false });
  });
  test('rename', () => {
    const next = rename(text, ['providers', 'local'], 'a "b"');
    expect(read(next).value).toMatchObject({ providers: { 'a "b"': { models: ['a'] } } });
    expect(next).toContain('// ours');
    expect(rename(text, ['providers', 'none'], 'x')).toBe(text);
  });
});

test('lines', () => {
  expect(lineOf(text, ['providers', 'local'])).toBe(4);
  expect(lineOf(text, ['providers', 'none'])).toBeNull();
});

about('completion', () => {
  const labels = (marked: string) => {
    const offset = marked.indexOf('|');
    return complete(marked.replace('|', ''), offset)?.options.map(option => option.label) ?? [];
  };
  test('keys that are not there yet', () => {
    const found = labels('{"providers": {"p": {"baseurl": "x", |}}}');
    expect(found).toContain('models');
    expect(found).not.toContain('baseurl');
  });
  test('values of an enumeration', () => {
    expect(labels('{"providers": {"p": {"authorization": |}}}')).toEqual([
      'bearer',
      'x-api-key',
      'x-goog-api-key',
    ]);
    expect(labels('{"providers": {"p": {"authorization": "be|"}}}')).toContain('bearer');
  });
  test('truth values', () => {
    expect(labels('{"providers": {"p": {"disabled": |}}}')).toEqual(['true', 'false']);
  });
  test('what is put in replaces what was typed', () => {
    const source = '{"prov"}';
    const found = complete(source, 6);
    expect(found?.from).toBe(1);
    expect(found?.options.find(option => option.label === 'providers')?.text).toBe('"providers": ');
  });
  test('nowhere in particular', () => {
    expect(labels('{"nothing": {"of": |}}')).toEqual([]);
  });
});

test('descriptions', () => {
  expect(describe(text, text.indexOf('baseurl'))).toMatchObject({ path: 'providers.local.baseurl' });
  expect(describe('{}', 1)).toBeNull();
});

test('paths', () => {
  expect(show(['quotas', 'daily:<user>', 'tokens', 0])).toBe('quotas["daily:<user>"].tokens[0]');
});

about('the schema', () => {
  test('leads to something from every section', () => {
    expect(sections.map(section => section.key)).toContain('providers');
    for (const { key, node } of sections) {
      expect(at([key]).length, key).toBeGreaterThan(0);
      expect(node.description, key).toBeTruthy();
    }
  });
  test('a first value has what is required', () => {
    const [provider] = at(['providers', 'x']);
    expect(blank(provider ?? {})).toMatchObject({ baseurl: '', models: [] });
    expect(keysAt(['providers', 'x']).map(entry => entry.key)).toContain('compatibility');
  });
});
