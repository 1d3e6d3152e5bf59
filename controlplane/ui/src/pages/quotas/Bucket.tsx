import { X } from 'lucide-react';
import { useState } from 'react';
import { type Schema, useApi } from '@/api';
import {
  Amount,
  Button,
  Card,
  DataTable,
  EmptyState,
  IconButton,
  KeyValue,
  Skeleton,
  Text,
  Time,
  TimeRangePicker,
  TimeSeries,
} from '@/kit';
import { amount, rate, unitName } from '@/kit/amounts';
import { type RangeSearch, useTimeRange } from '@/kit/range';
import { burnText, emptyText } from './figures';
import { Refill } from './Refill';

type Row = Schema<'Bucket'>;

/** One bucket: how it stands, what it held, who refilled it, which marks it passed. */
export function Bucket({ bucket, admin, onClose }: { bucket: Row; admin: boolean; onClose: () => void }) {
  const [range, setRange] = useState<RangeSearch>({ range: '24h' });
  const [filling, setFilling] = useState(false);
  const span = useTimeRange(range, '24h');
  const counts = bucket.unit !== 'concurrency';
  const history = useApi(
    '/api/quotas/{id}/history',
    { path: { id: bucket.id }, query: { since: span.since, until: span.until } },
    { enabled: counts, refetchInterval: 60_000 },
  );
  const same = { quota: bucket.quota, bucket: bucket.bucket };
  const refills = useApi('/api/quotas/refills', { query: same });
  const events = useApi('/api/quotas/events', { query: same });
  const format = (value: number) => amount(bucket.unit, value);
  const burn = burnText(bucket);
  const empty = emptyText(bucket);
  const points = history.data?.points ?? [];
  return (
    <Card
      title={bucket.bucket}
      description={
        <>
          Of the quota <bdi className="mono">{bucket.quota}</bdi>, counts {unitName(bucket.unit)}
        </>
      }
      actions={
        <>
          {admin && counts && (
            <Button tone="primary" onClick={() => setFilling(true)}>
              Refill
            </Button>
          )}
          <IconButton label="Close this budget" icon={X} onClick={onClose} />
        </>
      }
    >
      <div className="stack">
        <KeyValue
          rows={[
            [
              'Left',
              <>
                <Amount unit={bucket.unit} value={bucket.balance} /> of{' '}
                <Amount unit={bucket.unit} value={bucket.capacity} />
              </>,
            ],
            ['Refilled', rate(bucket.unit, bucket.rate) ?? 'never'],
            [
              'Full again',
              bucket.full_at === null ? (
                bucket.balance >= bucket.capacity ? (
                  'it is full'
                ) : (
                  'not by itself'
                )
              ) : (
                <Time key="full" time={bucket.full_at} relative />
              ),
            ],
            ['Burn', typeof burn === 'string' ? burn : `${burn.text}: ${burn.why}`],
            ['Empty', empty === null ? <Time key="empty" time={bucket.empty_at} relative /> : empty.why],
            ['Charged since it is there', <Amount key="charged" unit={bucket.unit} value={bucket.charged} />],
          ]}
        />
        {counts && (
          <section className="stack">
            <div className="row">
              <h3>What it held</h3>
              <TimeRangePicker
                value={range}
                onChange={setRange}
                fallback="24h"
                ranges={['24h', '7d', '30d', '90d']}
              />
            </div>
            {history.isPending ? (
              <Skeleton height={180} />
            ) : points.length < 2 ? (
              <p className="muted">
                Every five minutes a bucket that changed is noted: come back in some minutes.
              </p>
            ) : (
              <TimeSeries
                label={`Balance of ${bucket.bucket}`}
                times={points.map(point => point.time)}
                series={[{ label: 'Balance', values: points.map(point => point.balance) }]}
                format={format}
                sums={false}
                height={180}
              />
            )}
          </section>
        )}
        <section className="stack">
          <h3>Refills by hand</h3>
          <DataTable<Schema<'Refill'>>
            label={`Refills of ${bucket.bucket}`}
            rows={refills.data?.refills}
            rowId={refill => String(refill.id)}
            loading={refills.isPending}
            problem={refills.error}
            columns={[
              {
                id: 'time',
                header: 'Time',
                value: refill => refill.time,
                cell: refill => <Time time={refill.time} />,
              },
              {
                id: 'author',
                header: 'Who',
                grow: true,
                value: refill => refill.author,
                cell: refill => <Text text={refill.author} clamp={60} />,
              },
              {
                id: 'before',
                header: 'Before',
                align: 'end',
                value: refill => refill.before,
                cell: refill => <Amount unit={refill.unit} value={refill.before} />,
              },
              {
                id: 'added',
                header: 'Added',
                align: 'end',
                value: refill => refill.added,
                cell: refill => <Amount unit={refill.unit} value={refill.added} />,
              },
              {
                id: 'after',
                header: 'After',
                align: 'end',
                value: refill => refill.after,
                cell: refill => <Amount unit={refill.unit} value={refill.after} />,
              },
            ]}
            empty={<EmptyState compact title="Nobody has refilled it" />}
          />
        </section>
        <section className="stack">
          <h3>Marks it passed</h3>
          <DataTable<Schema<'QuotaEvent'>>
            label={`Marks of ${bucket.bucket}`}
            rows={events.data?.events}
            rowId={event => String(event.id)}
            loading={events.isPending}
            problem={events.error}
            columns={[
              {
                id: 'time',
                header: 'Time',
                grow: true,
                value: event => event.time,
                cell: event => <Time time={event.time} />,
              },
              {
                id: 'percent',
                header: 'Used',
                align: 'end',
                value: event => event.percent,
                cell: event => `${event.percent} %`,
              },
              {
                id: 'balance',
                header: 'Left then',
                align: 'end',
                value: event => event.balance,
                cell: event => <Amount unit={event.unit} value={event.balance} />,
              },
            ]}
            empty={
              <EmptyState compact title="It was never used to the half">
                At 50, 80 and 100 percent a line is written here.
              </EmptyState>
            }
          />
        </section>
      </div>
      <Refill bucket={bucket} open={filling} onOpenChange={setFilling} />
    </Card>
  );
}
