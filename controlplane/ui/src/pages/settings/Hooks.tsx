import { Webhook } from 'lucide-react';
import { type Schema, useApi, useInfiniteApi, useMutationApi } from '@/api';
import { Badge, Button, DataTable, EmptyState, ErrorState, Text, Time, toast } from '@/kit';

type Hook = Schema<'Hook'>;
type Letter = Schema<'DeadLetter'>;

/** Hooks: what waits for each, and what could not be delivered. */
export function Hooks() {
  const list = useApi('/api/hooks', {}, { refetchInterval: 10_000 });
  if (list.error !== null) return <ErrorState problem={list.error} onRetry={() => void list.refetch()} />;
  return (
    <div className="stack">
      <DataTable<Hook>
        label="Hooks"
        rows={list.data?.hooks}
        rowId={row => row.name}
        loading={list.isPending}
        columns={[
          {
            id: 'name',
            header: 'Name',
            value: row => row.name,
            cell: row => (
              <div>
                <Text text={row.name} clamp={60} />{' '}
                {!row.configured && <Badge tone="warn">no longer configured</Badge>}
                <div className="faint">
                  <Text text={row.url ?? ''} clamp={80} />
                </div>
              </div>
            ),
          },
          { id: 'waiting', header: 'Waiting', value: row => row.waiting, align: 'end' },
          { id: 'delivered', header: 'Delivered', value: row => row.delivered, align: 'end' },
          { id: 'failed', header: 'Failed tries', value: row => row.failed, align: 'end' },
          { id: 'dead', header: 'Given up', value: row => row.dead, align: 'end' },
          {
            id: 'last',
            header: 'Last delivered',
            value: row => row.last_delivered,
            cell: row =>
              row.last_delivered === null ? (
                <span className="faint">never</span>
              ) : (
                <Time time={row.last_delivered} relative />
              ),
          },
          {
            id: 'error',
            header: 'Last error',
            value: row => row.last_error,
            cell: row => <Text text={row.last_error ?? ''} clamp={160} />,
          },
        ]}
        empty={
          <EmptyState icon={Webhook} title="There are no hooks">
            A hook is a service of yours that is asked before a call, or told of it afterwards. Add one under
            Visual → Hooks, and name it in a grant.
          </EmptyState>
        }
      />
      <Letters />
    </div>
  );
}

function Letters() {
  const letters = useInfiniteApi('/api/hooks/dead', { query: {} }, page => ({
    rows: page.dead,
    next: page.next_cursor,
  }));
  const done = { invalidates: ['/api/hooks', '/api/hooks/dead'] as const };
  const failed = (problem: { title: string; detail: string }) =>
    toast({ title: problem.title, text: problem.detail, tone: 'bad' });
  const retry = useMutationApi('post', '/api/hooks/dead/{id}/retry', {
    ...done,
    onSuccess: () => toast({ title: 'It waits to be delivered again' }),
    onError: failed,
  });
  const remove = useMutationApi('delete', '/api/hooks/dead/{id}', {
    ...done,
    onSuccess: () => toast({ title: 'The event is gone' }),
    onError: failed,
  });
  if (letters.rows.length === 0) return null;
  return (
    <section className="stack">
      <h2>Events that could not be delivered</h2>
      <DataTable<Letter>
        label="Events that could not be delivered"
        rows={letters.rows}
        rowId={row => row.id}
        more={{
          has: letters.hasNextPage,
          loading: letters.isFetchingNextPage,
          load: () => void letters.fetchNextPage(),
        }}
        columns={[
          { id: 'died', header: 'Given up', value: row => row.died, cell: row => <Time time={row.died} /> },
          {
            id: 'hook',
            header: 'Hook',
            value: row => row.hook,
            cell: row => <Text text={row.hook} clamp={60} />,
          },
          { id: 'event', header: 'Event', value: row => row.event },
          {
            id: 'user',
            header: 'User',
            value: row => row.user,
            cell: row => <Text text={row.user} clamp={60} />,
          },
          { id: 'tries', header: 'Tries', value: row => row.tries, align: 'end' },
          {
            id: 'error',
            header: 'Error',
            value: row => row.error,
            cell: row => <Text text={row.error} clamp={160} />,
          },
          {
            id: 'act',
            header: '',
            value: () => null,
            cell: row => (
              <div className="row">
                <Button size="small" onClick={() => retry.mutate({ path: { id: row.id } })}>
                  Try again
                </Button>
                <Button size="small" tone="danger" onClick={() => remove.mutate({ path: { id: row.id } })}>
                  Remove
                </Button>
              </div>
            ),
          },
        ]}
      />
    </section>
  );
}
