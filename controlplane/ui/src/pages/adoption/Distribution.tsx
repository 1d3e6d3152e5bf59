import { Download } from 'lucide-react';
import type { DataOf } from '@/api';
import { Button, Card, Histogram } from '@/kit';
import { csv, download } from '@/kit/csv';
import { compact, count, money } from '@/kit/format';
import { costLabel, countLabel, medianBin, trimmed } from './bins';

type Spread = DataOf<'/api/adoption'>['distribution'];
export type By = 'requests' | 'cost';

const CHOICES: readonly [by: By, label: string][] = [
  ['requests', 'Requests'],
  ['cost', 'Cost'],
];

export interface DistributionProps {
  distribution: Spread;
  by: By;
  onBy: (by: By) => void;
}

/** How many people use how much. */
export function Distribution({ distribution, by, onBy }: DistributionProps) {
  const bins = trimmed(
    by === 'requests'
      ? distribution.requests
      : distribution.cost.map(bin => ({ from: bin.from_nanousd, to: bin.to_nanousd, users: bin.users })),
  );
  const label = (bin: (typeof bins)[number]) =>
    by === 'requests' ? countLabel(bin, compact) : costLabel(bin, money);
  const middle = bins[medianBin(bins)];
  const save = () =>
    download(
      `people-by-${by}.csv`,
      csv(
        by === 'requests'
          ? ['requests_from', 'requests_below', 'people']
          : ['nanousd_from', 'nanousd_below', 'people'],
        bins.map(bin => [bin.from, bin.to, bin.users]),
      ),
    );
  return (
    <Card
      title="How use is spread"
      description={
        middle === undefined
          ? undefined
          : `Half of the people have ${label(middle)} ${by === 'requests' ? 'requests' : 'of cost'} or less.`
      }
      actions={
        <>
          <fieldset className="segments" aria-label="Spread of">
            {CHOICES.map(([value, text]) => (
              <button
                key={value}
                type="button"
                className="segment"
                aria-pressed={by === value}
                onClick={() => onBy(value)}
              >
                {text}
              </button>
            ))}
          </fieldset>
          <Button
            tone="quiet"
            size="small"
            icon={Download}
            onClick={save}
            aria-label="Export the spread as CSV"
          >
            Export
          </Button>
        </>
      }
    >
      {bins.length === 0 ? (
        <p className="muted">Nothing in this range.</p>
      ) : (
        <Histogram
          label={by === 'requests' ? 'People by their number of requests' : 'People by their cost'}
          height={210}
          bins={bins.map(bin => ({ label: label(bin), value: bin.users, text: compact(bin.users) }))}
        />
      )}
      {by === 'cost' && distribution.cost_unknown > 0 && (
        <p className="adoption-note muted">
          {count(distribution.cost_unknown)} people are not in it: none of their requests has a known cost.
        </p>
      )}
    </Card>
  );
}
