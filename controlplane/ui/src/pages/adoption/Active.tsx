import { Download } from 'lucide-react';
import { useState } from 'react';
import type { DataOf } from '@/api';
import { Button, Card, Metric, Metrics, Tabs, TimeSeries } from '@/kit';
import { csv, download } from '@/kit/csv';
import { compact, count, percent } from '@/kit/format';
import { percentOf, trend } from './share';

type Adoption = DataOf<'/api/adoption'>;

const VIEWS = [
  { value: 'days', label: 'Each day' },
  { value: 'spans', label: '7 and 30 days' },
] as const;
type View = (typeof VIEWS)[number]['value'];

const HEIGHT = 220;

/** How many use it: now, in a week, in a month; and day by day. */
export function Active({ data }: { data: Adoption }) {
  const [view, setView] = useState<View>('days');
  const { users, days } = data;
  const grown = trend(
    days.map(day => day.active),
    7,
  );
  const part = (active: number) => {
    const of = percentOf(active, users.total);
    return of === null ? '' : `${percent(of / 100)} of all`;
  };
  const save = () =>
    download(
      'active-people.csv',
      csv(
        ['day', 'active', 'active in 7 days', 'active in 30 days', 'new', 'requests'],
        days.map(day => [day.time, day.active, day.active_7d, day.active_30d, day.new, day.requests]),
      ),
    );
  return (
    <Card
      title="Active people"
      actions={
        <Button
          tone="quiet"
          size="small"
          icon={Download}
          onClick={save}
          aria-label="Export active people as CSV"
        >
          Export
        </Button>
      }
    >
      <Metrics>
        <Metric
          label="Today"
          value={count(users.active_1d)}
          sub={part(users.active_1d)}
          about="People with a request on the last day of the range. Devices and tokens with a name of their own count as people."
        />
        <Metric
          label="In 7 days"
          value={count(users.active_7d)}
          sub={
            grown === null
              ? part(users.active_7d)
              : `daily use ${grown < 0 ? 'down' : 'up'} ${percent(Math.abs(grown) / 100)}`
          }
          about={
            grown === null
              ? 'People with a request in the last seven days.'
              : 'People with a request in the last seven days. Below: people active on a mean day of the last seven whole days, against the seven days before those.'
          }
        />
        <Metric
          label="In 30 days"
          value={count(users.active_30d)}
          sub={part(users.active_30d)}
          about="People with a request in the last 30 days."
        />
        <Metric
          label="New"
          value={count(users.new)}
          sub="in this range"
          about="People whose first request ever is in the range."
        />
        <Metric
          label="All"
          value={count(users.total)}
          sub="ever seen"
          about="Everybody who ever made a request."
        />
      </Metrics>
      <div className="adoption-days">
        <Tabs label="What is shown" tabs={VIEWS} value={view} onChange={setView}>
          {view === 'days' ? (
            <TimeSeries
              label="Active people each day"
              times={days.map(day => day.time)}
              stacked
              sums={false}
              height={HEIGHT}
              format={compact}
              series={[
                { label: 'Came back', values: days.map(day => Math.max(0, day.active - day.new)), color: 1 },
                { label: 'New', values: days.map(day => day.new), color: 2 },
              ]}
            />
          ) : (
            <TimeSeries
              label="People active within a time that ends with the day"
              times={days.map(day => day.time)}
              sums={false}
              height={HEIGHT}
              format={compact}
              series={[
                { label: '30 days', values: days.map(day => day.active_30d), color: 3 },
                { label: '7 days', values: days.map(day => day.active_7d), color: 2 },
                { label: 'The day', values: days.map(day => day.active), color: 1 },
              ]}
            />
          )}
        </Tabs>
      </div>
    </Card>
  );
}
