import { Link } from '@tanstack/react-router';
import { X } from 'lucide-react';
import { type DataOf, useApi } from '@/api';
import {
  Badge,
  Card,
  type Column,
  DataTable,
  ErrorState,
  IconButton,
  KeyValue,
  Skeleton,
  StatusBadge,
  Text,
  Time,
  TimeSeries,
} from '@/kit';
import { count, milliseconds, percent, share } from '@/kit/format';
import { Models } from './ForUsers';
import { Percentiles } from './Percentiles';
import { StateBadge } from './StateBadge';
import { statuses, statusWords } from './state';

type Detail = DataOf<'/api/providers/{id}'>;
type Row = Detail['by_model'][number];

/** One provider: its last hour, what failed, how long it took, and its models. */
export function ProviderPanel({ id, onClose }: { id: string; onClose: () => void }) {
  const detail = useApi(
    '/api/providers/{id}',
    { path: { id } },
    { refetchInterval: 5_000, keepPrevious: false },
  );
  const close = <IconButton label="Close the provider" icon={X} onClick={onClose} />;
  if (detail.data === undefined) {
    return (
      <Card title="Provider" actions={close}>
        {detail.isError ? (
          <ErrorState compact problem={detail.error} onRetry={() => void detail.refetch()} />
        ) : (
          <div aria-busy="true">
            <Skeleton height={320} />
          </div>
        )}
      </Card>
    );
  }
  const provider = detail.data;
  return (
    <Card
      title={provider.name || provider.id}
      description={provider.description === '' ? undefined : <Text text={provider.description} />}
      actions={
        <>
          <StateBadge state={provider.health.state} windowS={provider.health.window_s} />
          <Link to="/logs" search={{ tab: 'requests', provider: provider.id } as never}>
            Its requests
          </Link>
          {close}
        </>
      }
    >
      <div className="provider-panel">
        <Hour minutes={provider.minutes} />
        <Now provider={provider} />
        <ByModel rows={provider.by_model} />
        <About provider={provider} />
      </div>
    </Card>
  );
}

function Hour({ minutes }: { minutes: Detail['minutes'] }) {
  const times = minutes.map(minute => minute.time);
  return (
    <div className="provider-hour">
      <h3>Last hour, by minute</h3>
      <TimeSeries
        label="Requests of the last hour"
        times={times}
        stacked
        height={150}
        format={count}
        series={[
          { label: 'Failed', values: minutes.map(minute => minute.errors), color: 8 },
          { label: 'Answered', values: minutes.map(minute => minute.requests - minute.errors), color: 1 },
        ]}
      />
      <TimeSeries
        label="First byte of the last hour"
        times={times}
        sums={false}
        height={130}
        format={milliseconds}
        series={[
          { label: 'First byte p50', values: minutes.map(minute => minute.ttft_p50_ms), color: 4 },
          { label: 'p95', values: minutes.map(minute => minute.ttft_p95_ms), color: 2 },
        ]}
      />
    </div>
  );
}

function Now({ provider: { health } }: { provider: Detail }) {
  const found = statuses(health.by_status);
  const minutes = Math.max(1, Math.round(health.window_s / 60));
  return (
    <div className="provider-now">
      <h3>Last {minutes} minutes</h3>
      <p>
        {count(health.requests)} requests, {count(health.errors)} failed
        {health.requests > 0 && <> ({percent(share(health.errors, health.requests))})</>}
      </p>
      <div className="provider-latency">
        <Percentiles label="First byte" value={health.ttft_ms} />
        <Percentiles label="Whole answer" value={health.duration_ms} />
      </div>
      {found.length > 0 && (
        <>
          <h3>What clients got instead of an answer</h3>
          <ul className="provider-statuses">
            {found.map(({ status, count: times }) => (
              <li key={status}>
                <StatusBadge status={Number(status)} /> {statusWords(status)}
                <span className="provider-count">{count(times)}</span>
              </li>
            ))}
          </ul>
        </>
      )}
      <h3>Last error</h3>
      {health.last_error === null ? (
        <p className="muted">None in about the last hour.</p>
      ) : (
        <p>
          <StatusBadge status={health.last_error.status} />{' '}
          <Text text={health.last_error.code ?? 'no code'} mono />{' '}
          <Time time={health.last_error.time} relative />
        </p>
      )}
      <h3>Connections</h3>
      <p>
        {health.pool === null ? (
          <span className="muted">Unknown: no data plane has said.</span>
        ) : (
          <>
            {count(health.pool.open)} open, {count(health.pool.idle)} idle, {count(health.pool.in_flight)}{' '}
            requests running
          </>
        )}
      </p>
    </div>
  );
}

const columns: readonly Column<Row>[] = [
  {
    id: 'model',
    header: 'Model',
    value: row => row.model,
    cell: row => (
      <Link to="/models/$" params={{ _splat: row.model }}>
        <Text text={row.model} mono />
      </Link>
    ),
    grow: true,
  },
  { id: 'requests', header: 'Requests', align: 'end', value: row => row.requests },
  {
    id: 'errors',
    header: 'Errors',
    align: 'end',
    value: row => share(row.errors, row.requests),
    cell: row => percent(share(row.errors, row.requests)),
  },
  {
    id: 'p50',
    header: 'First byte p50',
    align: 'end',
    value: row => row.ttft_ms?.p50,
    cell: row => (row.ttft_ms === null ? <span className="faint">–</span> : milliseconds(row.ttft_ms.p50)),
  },
  {
    id: 'p95',
    header: 'p95',
    align: 'end',
    value: row => row.ttft_ms?.p95,
    cell: row => (row.ttft_ms === null ? <span className="faint">–</span> : milliseconds(row.ttft_ms.p95)),
  },
];

function ByModel({ rows }: { rows: readonly Row[] }) {
  return (
    <div>
      <h3>Models of the last hour</h3>
      <DataTable
        label="Models of the last hour"
        columns={columns}
        rows={rows}
        rowId={row => row.model}
        empty={<p className="muted">Nobody asked for a model of it in the last hour.</p>}
      />
    </div>
  );
}

function About({ provider }: { provider: Detail }) {
  return (
    <div>
      <h3>Configuration</h3>
      <KeyValue
        rows={[
          ['Id', <Text key="id" text={provider.id} mono />],
          ['Address', <Text key="address" text={provider.baseurl} mono />],
          [
            'Endpoints',
            <span key="endpoints" className="row">
              {provider.compatibility.map(flag => (
                <Badge key={flag}>{flag}</Badge>
              ))}
            </span>,
          ],
          ['Models', <Models key="models" models={provider.models} />],
          ['Preference', String(provider.preference)],
          [
            'Credentials',
            {
              override: provider.has_key ? 'its own key' : 'no key set',
              passthrough: 'those of the client',
              none: 'none',
            }[provider.auth_mode],
          ],
        ]}
      />
    </div>
  );
}
