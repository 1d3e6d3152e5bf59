import { describe, expect, it } from 'vitest';
import { priceSheet } from './sheet';

describe('a price sheet', () => {
  it('has a column for each condition and a row for each rate that one of them has', () => {
    const sheet = priceSheet({
      per_million: { input: '3', output: '15', cache_read: '0.3' },
      above: { tokens: 200_000, per_million: { input: '6', output: '22.5' } },
      tiers: {
        batch: {
          per_million: { input: '1.5', output: '7.5' },
          above: { tokens: 9, per_million: { input: '2' } },
        },
      },
      per_search: '0.01',
    });
    expect(sheet.columns).toEqual([
      'Standard',
      'Above 200,000 prompt tokens',
      'Batch',
      'Batch, above 9 prompt tokens',
    ]);
    expect(sheet.rows.map(({ label, cells }) => [label, ...cells])).toEqual([
      ['Input', '3', '6', '1.5', '2'],
      ['Output', '15', '22.5', '7.5', null],
      ['Cache read', '0.3', null, null, null],
    ]);
    expect(sheet.fees).toEqual([{ label: 'Each web search', dollars: '0.01' }]);
  });

  it('is empty for a price of nothing', () => {
    expect(priceSheet({})).toEqual({ columns: [], rows: [], fees: [] });
  });
});
