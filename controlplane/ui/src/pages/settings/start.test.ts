import { expect, test } from 'vitest';
import { read } from './hujson';
import { withBudget } from './start';

test('a first budget is defined, named by a grant, and leaves the rest as it was', () => {
  const text =
    '{\n  // Ours.\n  "grants": [{ "src": ["(loopback)"], "capabilities": [{ "role": "admin" }] }],\n}\n';
  const next = withBudget(text);
  expect(next).toContain('// Ours.');
  expect(read(next)).toEqual({
    value: {
      grants: [
        { src: ['(loopback)'], capabilities: [{ role: 'admin' }] },
        { src: ['*'], capabilities: [{ quotas: [{ bucket: 'daily:<user>' }] }] },
      ],
      quotas: { 'daily:<user>': { capacity: '$10.00', rate: '$5.00/day' } },
    },
    broken: false,
  });
});
