import { expect, it } from 'vitest';
import { callers, shownArguments } from './callers';

it('counts calls and tools of each person', () => {
  const call = (user: string, name: string) => ({ user, name });
  expect(callers([call('b', 'Bash'), call('a', 'Read'), call('a', 'Read'), call('a', 'Bash')])).toEqual([
    { user: 'a', calls: 3, tools: 2 },
    { user: 'b', calls: 1, tools: 1 },
  ]);
  expect(callers([])).toEqual([]);
});

it('indents arguments that are JSON and leaves others alone', () => {
  const check = (text: string, shown: string) => expect(shownArguments(text)).toBe(shown);
  check('{"a":[1]}', '{\n  "a": [\n    1\n  ]\n}');
  check('{"a":', '{"a":');
  check('', '');
});
