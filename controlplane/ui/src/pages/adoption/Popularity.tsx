import { Download } from 'lucide-react';
import { useState } from 'react';
import { type DataOf, useApi } from '@/api';
import { BarList, Button, Card, ErrorState, Skeleton, Tabs, Text, TimeSeries } from '@/kit';
import { csv, download } from '@/kit/csv';
import { count, percent } from '@/kit/format';
import type { TimeSpan } from '@/kit/range';
import { offsetSeconds } from '../overview/useUsage';
import { percentOf, shares } from './share';

type Models = DataOf<'/api/adoption'>['models'];

const TOP = 6;
const VIEWS = [
  { value: 'people', label: 'By people' },
  { value: 'time', label: 'Share over time' },
] as const;

export interface PopularityProps {
  models: Models;
  /** People active in the range. */
  active: number;
  span: TimeSpan;
}

/** Which models people prefer: how many use each, and its share of requests over time. */
export function Popularity({ models, active, span }: PopularityProps) {
  const [view, setView] = useState<(typeof VIEWS)[number]['value']>('people');
  const save = () =>
    download(
      'models.csv',
      csv(
        ['model', 'people', 'requests', 'input_tokens', 'output_tokens', 'cost_nanousd'],
        models.map(model => [
          model.model,
          model.users,
          model.requests,
          model.input,
          model.output,
          model.cost_nanousd,
        ]),
      ),
    );
  const byPeople = [...models].sort((a, b) => b.users - a.users).slice(0, TOP + 1);
  return (
    <Card
      title="Popular models"
      actions={
        <Button tone="quiet" size="small" icon={Download} onClick={save} aria-label="Export models as CSV">
          Export
        </Button>
      }
    >
      <Tabs label="Popular models" tabs={VIEWS} value={view} onChange={setView}>
        {view === 'time' ? (
          <Shares span={span} />
        ) : models.length === 0 ? (
          <p className="muted">No model was used in this range.</p>
        ) : (
          <BarList
            items={byPeople.map(model => {
              const part = percentOf(model.users, active);
              return {
                key: model.model,
                label: <Text text={model.model} mono />,
                value: model.users,
                text: (
                  <span title={`${count(model.users)} people, ${count(model.requests)} requests`}>
                    {count(model.users)}
                    {part !== null && <span className="faint"> {percent(part / 100)}</span>}
                  </span>
                ),
                to: '/models/$',
                params: { _splat: model.model },
              };
            })}
          />
        )}
      </Tabs>
    </Card>
  );
}

function Shares({ span }: { span: TimeSpan }) {
  const usage = useApi('/api/usage/series', {
    query: {
      step: 'day',
      split: 'model',
      since: span.since,
      until: span.until,
      top: TOP,
      offset_s: offsetSeconds(span.untilMs),
    },
  });
  const { data } = usage;
  if (data === undefined) {
    return usage.isError ? (
      <ErrorState compact problem={usage.error} onRetry={() => void usage.refetch()} />
    ) : (
      <div aria-busy="true">
        <Skeleton height={240} />
      </div>
    );
  }
  const whole = data.total.requests;
  return (
    <TimeSeries
      label="Share of requests by model"
      times={data.times}
      stacked
      sums={false}
      height={200}
      format={value => percent(value / 100)}
      series={[
        ...data.series.map(line => ({
          label: line.key || 'No provider reached',
          values: shares(line.requests, whole),
        })),
        ...(data.other === null
          ? []
          : [{ label: 'Others', values: shares(data.other.requests, whole), color: 0 }]),
      ]}
    />
  );
}
