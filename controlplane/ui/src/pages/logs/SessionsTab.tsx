import { Bot } from 'lucide-react';
import { useMemo } from 'react';
import { type Schema, useInfiniteApi } from '@/api';
import {
  AtLeast,
  Button,
  type Column,
  DataTable,
  Duration,
  EmptyState,
  RowLink,
  Text,
  Time,
  Tokens,
} from '@/kit';
import { count } from '@/kit/format';
import type { TimeSpan } from '@/kit/range';
import { clientName } from './common/words';
import { filtersSet, noFilters } from './filters';
import { NoRequests } from './RequestsTab';
import type { Search } from './search';

type SessionRow = Schema<'Session'>;
type Sort = NonNullable<Search['sort']>;

/** Filters that lists of sessions know. */
const KNOWN: readonly (keyof Search)[] = ['user', 'model', 'client'];

/** What the server orders by; others order what is loaded. */
const BY_COLUMN: Record<string, Sort> = { last: 'last', cost: 'cost', requests: 'requests', input: 'tokens' };
const COLUMN_OF: Record<Sort, string> = { last: 'last', cost: 'cost', requests: 'requests', tokens: 'input' };

/** Sessions: conversations and runs of agents. */
export function SessionsTab({
  search,
  span,
  admin,
  onChange,
}: {
  search: Search;
  span: TimeSpan;
  admin: boolean;
  onChange: (change: Partial<Search>) => void;
}) {
  const sort = search.sort ?? 'last';
  const query = {
    since: span.since,
    until: span.range === 'custom' ? span.until : undefined,
    user: search.user,
    model: search.model,
    client: search.client as never,
    limit: 100,
    // Not said where it is the list's own order.
    ...(sort === 'last' ? {} : { sort }),
  };
  const list = useInfiniteApi('/api/sessions', { query }, page => ({
    rows: page.sessions,
    next: page.next_cursor,
  }));
  const columns = useMemo(() => sessionColumns(admin), [admin]);
  const idle = filtersSet(search).filter(name => !KNOWN.includes(name));
  return (
    <>
      {idle.length > 0 && (
        <p className="muted">
          Sessions can be found by user, model and client; the other filters ({idle.join(', ')}) apply to
          requests.{' '}
          <button type="button" className="link" onClick={() => onChange({ tab: 'requests' })}>
            Show requests
          </button>
        </p>
      )}
      <DataTable
        label="Sessions"
        columns={columns}
        rows={list.data === undefined ? undefined : list.rows}
        rowId={row => row.id}
        loading={list.isLoading}
        problem={list.error}
        onRetry={() => void list.refetch()}
        href={row => ({ to: '/sessions/$id', params: { id: row.id } })}
        sort={{ id: COLUMN_OF[sort], descending: true }}
        onSort={next => {
          const by = BY_COLUMN[next.id];
          if (by !== undefined) onChange({ sort: by === 'last' ? undefined : by });
        }}
        more={{
          has: list.hasNextPage,
          loading: list.isFetchingNextPage,
          load: () => void list.fetchNextPage(),
        }}
        empty={
          search.user !== undefined || search.model !== undefined || search.client !== undefined ? (
            <EmptyState
              icon={Bot}
              title="No session is like that"
              action={<Button onClick={() => onChange(noFilters())}>Clear all filters</Button>}
            >
              Take a filter away, or look at a longer time.
            </EmptyState>
          ) : (
            <NoRequests filtered={false} onClear={() => onChange(noFilters())} />
          )
        }
      />
    </>
  );
}

const figure = (value: number) => (value === 0 ? <span className="faint">0</span> : count(value));

function sessionColumns(admin: boolean): Column<SessionRow>[] {
  const columns: (Column<SessionRow> | false)[] = [
    {
      id: 'session',
      header: 'Session',
      grow: true,
      sortable: false,
      value: row => row.key,
      cell: row => (
        <RowLink to="/sessions/$id" params={{ id: row.id }} className="session-cell">
          <span className={`client client-${row.client}`} aria-hidden>
            {clientName(row.client).slice(0, 1)}
          </span>
          <span className="session-name">
            <span>{clientName(row.client)}</span>
            <span className="faint mono">
              <Text text={row.key} clamp={19} />
            </span>
          </span>
        </RowLink>
      ),
    },
    admin && {
      id: 'user',
      header: 'User',
      grow: true,
      sortable: false,
      value: row => row.user,
      cell: row => <Text text={row.user} clamp={60} />,
    },
    {
      id: 'last',
      header: 'Last request',
      align: 'end',
      value: row => row.last,
      cell: row => <Time time={row.last} relative />,
    },
    {
      id: 'requests',
      header: 'Requests',
      align: 'end',
      value: row => row.requests,
      cell: row => count(row.requests),
    },
    {
      id: 'tools',
      header: 'Tool calls',
      rank: 2,
      align: 'end',
      sortable: false,
      value: row => row.tool_calls,
      cell: row => figure(row.tool_calls),
    },
    {
      id: 'errors',
      header: 'Errors',
      rank: 1,
      align: 'end',
      sortable: false,
      value: row => row.errors,
      cell: row => (row.errors > 0 ? <span className="mark-bad">{count(row.errors)}</span> : figure(0)),
    },
    {
      id: 'input',
      header: 'Tokens',
      align: 'end',
      hint: 'Prompt and generated tokens that are known',
      value: row => row.input + row.output,
      cell: row => (
        <span
          title={`${count(row.input)} in, of which ${count(row.cached_read)} cached; ${count(row.output)} out`}
        >
          <Tokens tokens={row.input + row.output} />
        </span>
      ),
    },
    {
      id: 'cost',
      header: 'Cost',
      align: 'end',
      value: row => row.cost_nanousd / 1e9,
      cell: row => <AtLeast sums={row} />,
    },
    {
      id: 'duration',
      header: 'Lasted',
      align: 'end',
      sortable: false,
      hint: 'From the first request to the last',
      value: row => row.duration_us,
      cell: row =>
        row.requests > 1 ? (
          <Duration us={row.duration_us} />
        ) : (
          <span className="faint" title="It has one request">
            –
          </span>
        ),
    },
    {
      id: 'first',
      header: 'First request',
      hidden: true,
      sortable: false,
      value: row => row.first,
      cell: row => <Time time={row.first} />,
    },
  ];
  return columns.filter(column => column !== false);
}
