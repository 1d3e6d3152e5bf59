import { expect, it } from 'vitest';
import { detailLines } from './details';

it('puts together what is of one thing, each text once', () => {
  expect(
    detailLines([
      { label: 'Time', text: '22 Nov, 16:04:31\n2026-11-22 15:04:31.120 UTC' },
      { label: 'Cost', text: '$0.005670000' },
      { label: 'Cost', text: 'Counts reported.' },
      { label: 'Cost', text: '$0.005670000' },
      { label: '', text: 'captured' },
    ]),
  ).toEqual([
    'Time: 22 Nov, 16:04:31; 2026-11-22 15:04:31.120 UTC',
    'Cost: $0.005670000; Counts reported.',
    'captured',
  ]);
});

it('leaves out what says nothing', () => {
  expect(
    detailLines([
      { label: 'Marks', text: ' ' },
      { label: 'Model', text: 'Model' },
    ]),
  ).toEqual([]);
});
