import { getRouteApi, Link } from '@tanstack/react-router';
import { ArrowLeft } from 'lucide-react';
import { useMemo, useState } from 'react';
import { useApi, useInfiniteApi, useIsAdmin } from '@/api';
import {
  AtLeast,
  Button,
  Card,
  type Column,
  CopyButton,
  DataTable,
  Duration,
  EmptyState,
  ErrorState,
  Money,
  Page,
  Skeleton,
  Text,
  Time,
} from '@/kit';
import { compact, count } from '@/kit/format';
import { requestColumns } from '../logs/columns';
import { Facts, Person } from '../logs/common/parts';
import { clientName } from '../logs/common/words';
import { Gantt } from './Gantt';
import { lanes, type SessionDetail } from './lanes';
import { Talk } from './Talk';
import './session.css';
import '../request/request.css';

const route = getRouteApi('/sessions/$id');

/** One session: its agents over time, what they used and what was said. */
export default function SessionPage() {
  const { id } = route.useParams();
  const session = useApi('/api/sessions/{id}', { path: { id } }, { keepPrevious: false });
  if (session.error?.status === 404) return <Missing />;
  if (session.error !== null && session.data === undefined) {
    return (
      <Page title="Session">
        <ErrorState problem={session.error} onRetry={() => void session.refetch()} />
      </Page>
    );
  }
  if (session.data === undefined) {
    return (
      <Page title="Session" heading={<Skeleton width={280} height={26} />}>
        <div aria-busy className="stack">
          <Skeleton height={44} />
          <Skeleton height={180} />
          <Skeleton height={220} />
        </div>
      </Page>
    );
  }
  return <Shown key={id} session={session.data} />;
}

function Shown({ session }: { session: SessionDetail }) {
  const admin = useIsAdmin() === true;
  const [title, setTitle] = useState<string>();
  const list = useInfiniteApi(
    '/api/sessions/{id}/requests',
    { path: { id: session.id }, query: { limit: 500 } },
    page => ({ rows: page.requests, next: page.next_cursor }),
  );
  const rows = list.rows;
  const all = useMemo(() => lanes(session.tree, rows), [session.tree, rows]);
  const models = session.models.map(model => model.model);
  const columns = useMemo(
    () =>
      requestColumns(false).map(column => (column.id === 'agent' ? { ...column, hidden: false } : column)),
    [],
  );
  return (
    <Page
      title={`Session ${session.key.slice(0, 12)}`}
      heading={
        <>
          {title === undefined ? clientName(session.client) : <Text text={title} />}{' '}
          <span className="faint mono session-title">
            {title !== undefined && `${clientName(session.client)} · `}
            <Text text={session.key} clamp={60} />
          </span>
        </>
      }
      actions={<CopyButton text={session.key} label="Copy the session’s id" />}
    >
      <Facts
        facts={[
          ['User', <Person key="" login={session.user} admin={admin} />],
          ['First request', <Time key="" time={session.first} />],
          ['Last request', <Time key="" time={session.last} relative />],
          ['Lasted', <Duration key="" us={session.duration_us} />],
          ['Requests', count(session.requests)],
          session.errors > 0 && [
            'Errors',
            <span key="" className="mark-bad">
              {count(session.errors)}
            </span>,
          ],
          ['Tool calls', count(session.tool_calls)],
          [
            'Tokens',
            <span key="" title={`${count(session.input)} in, ${count(session.output)} out`}>
              {compact(session.input)} in{' '}
              <span className="faint">({compact(session.cached_read)} cached)</span> ·{' '}
              {compact(session.output)} out
            </span>,
          ],
          ['Cost', <AtLeast key="" sums={session} />],
          session.parent !== null && [
            'Started by',
            <Link key="" to="/sessions/$id" params={{ id: session.parent }} className="mono">
              {session.parent.slice(0, 8)}
            </Link>,
          ],
        ]}
      />
      <Card
        title="Agents"
        description={
          list.hasNextPage
            ? `The last ${count(rows.length)} of ${count(session.requests)} requests.`
            : undefined
        }
        actions={
          list.hasNextPage && (
            <Button size="small" busy={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
              Load earlier requests
            </Button>
          )
        }
      >
        {list.error !== null && (
          <ErrorState compact problem={list.error} onRetry={() => void list.refetch()} />
        )}
        {list.isLoading ? (
          <div aria-busy>
            <Skeleton height={90} />
          </div>
        ) : (
          <Gantt lanes={all} models={models} />
        )}
      </Card>
      <div className="request-grid">
        <Models session={session} />
        <Tools session={session} />
      </div>
      {session.truncated && (
        <p className="muted">One of these lists holds as much as an answer may; there may be more.</p>
      )}
      {list.data !== undefined && (
        <Talk lanes={all} sessionKey={session.key} user={session.user} onTitle={setTitle} />
      )}
      <Card title="Requests" flush>
        <DataTable
          label="Requests of the session"
          columns={columns}
          rows={list.data === undefined ? undefined : rows}
          rowId={row => row.request_id}
          loading={list.isLoading}
          href={row => ({ to: '/requests/$id', params: { id: row.request_id } })}
          more={{
            has: list.hasNextPage,
            loading: list.isFetchingNextPage,
            load: () => void list.fetchNextPage(),
          }}
        />
      </Card>
      {session.sessions.length > 0 && (
        <Card title="Sessions it started">
          <ul>
            {session.sessions.map(child => (
              <li key={child.id}>
                <Link to="/sessions/$id" params={{ id: child.id }}>
                  {clientName(child.client)} <Text text={child.key} clamp={40} mono />
                </Link>{' '}
                <span className="faint">{count(child.requests)} requests</span>
              </li>
            ))}
          </ul>
        </Card>
      )}
    </Page>
  );
}

function Models({ session }: { session: SessionDetail }) {
  type Row = SessionDetail['models'][number];
  const columns: Column<Row>[] = [
    {
      id: 'model',
      header: 'Model',
      grow: true,
      value: row => row.model,
      cell: row =>
        row.model === '' ? (
          <span className="faint">no provider reached</span>
        ) : (
          <Text text={row.model} clamp={60} mono />
        ),
    },
    { id: 'requests', header: 'Requests', align: 'end', value: row => row.requests },
    { id: 'input', header: 'In', align: 'end', value: row => row.input, cell: row => compact(row.input) },
    { id: 'output', header: 'Out', align: 'end', value: row => row.output, cell: row => compact(row.output) },
    {
      id: 'cost',
      header: 'Cost',
      align: 'end',
      value: row => row.cost_nanousd / 1e9,
      cell: row => <Money nanousd={row.cost_nanousd} unpriced={row.unpriced > 0} />,
    },
  ];
  return (
    <Card title="Models" flush>
      <DataTable
        label="Models"
        columns={columns}
        rows={session.models}
        rowId={row => row.model}
        filter={false}
        exportHref={false}
      />
    </Card>
  );
}

function Tools({ session }: { session: SessionDetail }) {
  type Row = SessionDetail['tools'][number];
  const columns: Column<Row>[] = [
    {
      id: 'name',
      header: 'Tool',
      grow: true,
      value: row => row.name,
      cell: row => <Text text={row.name} clamp={60} mono />,
    },
    { id: 'calls', header: 'Calls', align: 'end', value: row => row.calls },
  ];
  return (
    <Card title="Tools" flush>
      <DataTable
        label="Tools"
        columns={columns}
        rows={session.tools}
        rowId={row => row.name}
        filter={false}
        exportHref={false}
        empty={
          session.tool_calls === 0 ? (
            <EmptyState compact title="No tool was called" />
          ) : (
            <EmptyState
              compact
              title={`${count(session.tool_calls)} ${session.tool_calls === 1 ? 'call was' : 'calls were'} made`}
            >
              Of which tools is not known: names come from captures, and none was kept.
            </EmptyState>
          )
        }
      />
    </Card>
  );
}

function Missing() {
  return (
    <Page title="Session">
      <EmptyState
        title="There is no such session here"
        action={
          <Link to="/logs" className="button button-default">
            <ArrowLeft size={15} aria-hidden /> All sessions
          </Link>
        }
      >
        It may be older than what this gateway keeps, or belong to somebody else: everybody sees their own
        sessions only.
      </EmptyState>
    </Page>
  );
}
