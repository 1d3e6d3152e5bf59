import { Link } from '@tanstack/react-router';
import { type Column, DataTable, StatusBadge, Text, Time } from '@/kit';
import { count, milliseconds, percent, share } from '@/kit/format';
import type { Provider } from '.';
import { HourBars } from './HourBars';
import { StateBadge } from './StateBadge';
import { worstFirst } from './state';

const unknown = <span className="faint">–</span>;
const latency = (ms: number | undefined) =>
  ms === undefined ? (
    unknown
  ) : (
    <span className="figure" title={`${ms} ms`}>
      {milliseconds(ms)}
    </span>
  );
/** Worst first when it is ordered by. */
const RANK = { failing: 3, degraded: 2, ok: 1, idle: 0 } as const;
/** With more providers than this the last hour is in the panel only. */
const HOURS_MAX = 16;

const columns: readonly Column<Provider>[] = [
  {
    id: 'name',
    header: 'Provider',
    value: ({ name, id }) => name || id,
    cell: ({ name, id }) => (
      <Link to="/providers" search={{ provider: id }} className="provider-name">
        <Text text={name || id} />
      </Link>
    ),
  },
  {
    id: 'state',
    header: 'State',
    value: ({ health }) => RANK[health.state],
    cell: ({ health }) => <StateBadge state={health.state} windowS={health.window_s} />,
  },
  {
    id: 'hour',
    header: 'Last hour',
    sortable: false,
    value: () => null,
    cell: ({ id }) => <HourBars id={id} />,
  },
  {
    id: 'requests',
    header: 'Requests',
    align: 'end',
    hint: 'Requests of the last five minutes that reached it',
    value: ({ health }) => health.requests,
  },
  {
    id: 'errors',
    header: 'Errors',
    align: 'end',
    hint: 'Part that the provider failed: 500 and above, 429, no answer, a broken one',
    value: ({ health }) => share(health.errors, health.requests),
    cell: ({ health }) => {
      const part = share(health.errors, health.requests);
      return part === null ? (
        unknown
      ) : (
        <span
          className={health.errors > 0 ? 'provider-errors' : undefined}
          title={`${count(health.errors)} of ${count(health.requests)}`}
        >
          {percent(part)}
        </span>
      );
    },
  },
  {
    id: 'p50',
    header: 'First byte p50',
    align: 'end',
    hint: 'Half of the answers began within this time',
    value: ({ health }) => health.ttft_ms?.p50,
    cell: ({ health }) => latency(health.ttft_ms?.p50),
  },
  {
    id: 'p95',
    header: 'p95',
    align: 'end',
    hint: '95 of 100 answers began within this time',
    value: ({ health }) => health.ttft_ms?.p95,
    cell: ({ health }) => latency(health.ttft_ms?.p95),
  },
  {
    id: 'p99',
    header: 'p99',
    align: 'end',
    hidden: true,
    hint: '99 of 100 answers began within this time',
    value: ({ health }) => health.ttft_ms?.p99,
    cell: ({ health }) => latency(health.ttft_ms?.p99),
  },
  {
    id: 'whole',
    header: 'Whole p95',
    align: 'end',
    hidden: true,
    hint: '95 of 100 answers were whole within this time',
    value: ({ health }) => health.duration_ms?.p95,
    cell: ({ health }) => latency(health.duration_ms?.p95),
  },
  {
    id: 'running',
    header: 'Running',
    align: 'end',
    hint: 'Requests that run at this moment',
    value: ({ health }) => health.pool?.in_flight,
    cell: ({ health }) => (health.pool === null ? unknown : count(health.pool.in_flight)),
  },
  { id: 'open', header: 'Connections', align: 'end', hidden: true, value: ({ health }) => health.pool?.open },
  {
    id: 'last',
    header: 'Last error',
    value: ({ health }) => health.last_error?.time,
    cell: ({ health }) =>
      health.last_error === null ? (
        <span className="faint">none lately</span>
      ) : (
        <span className="provider-last" title={health.last_error.code ?? undefined}>
          <StatusBadge status={health.last_error.status} /> <Time time={health.last_error.time} relative />
        </span>
      ),
  },
];

export interface ProviderTableProps {
  providers: readonly Provider[];
  selected: string | undefined;
  onOpen: (id: string) => void;
}

/** All providers, those in trouble first. */
export function ProviderTable({ providers, selected, onOpen }: ProviderTableProps) {
  const shown = providers.length > HOURS_MAX ? columns.filter(({ id }) => id !== 'hour') : columns;
  return (
    <DataTable
      label="Providers"
      columns={shown}
      rows={worstFirst(providers)}
      rowId={provider => provider.id}
      selected={selected}
      onOpen={provider => onOpen(provider.id)}
    />
  );
}
