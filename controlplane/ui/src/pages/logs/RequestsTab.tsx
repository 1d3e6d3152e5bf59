import { Link } from '@tanstack/react-router';
import { ScrollText } from 'lucide-react';
import { useMemo } from 'react';
import { apiUrl, useInfiniteApi } from '@/api';
import { Button, DataTable, EmptyState } from '@/kit';
import type { TimeSpan } from '@/kit/range';
import { requestColumns } from './columns';
import { filters, filtersSet, noFilters } from './filters';
import type { Search } from './search';

/** Requests, newest first. */
export function RequestsTab({
  search,
  span,
  admin,
  onClear,
}: {
  search: Search;
  span: TimeSpan;
  admin: boolean;
  onClear: (change: Partial<Record<keyof Search, undefined>>) => void;
}) {
  const query = {
    since: span.since,
    until: span.range === 'custom' ? span.until : undefined,
    limit: 100,
    ...filters(search),
  };
  const list = useInfiniteApi('/api/requests', { query }, page => ({
    rows: page.requests,
    next: page.next_cursor,
  }));
  const columns = useMemo(() => requestColumns(admin), [admin]);
  const everything = apiUrl('/api/export', {
    query: { since: span.since, until: span.until, user: search.user, format: 'csv' },
  });
  return (
    <DataTable
      label="Requests"
      columns={columns}
      rows={list.data === undefined ? undefined : list.rows}
      rowId={row => row.request_id}
      loading={list.isLoading}
      problem={list.error}
      onRetry={() => void list.refetch()}
      href={row => ({ to: '/requests/$id', params: { id: row.request_id } })}
      more={{
        has: list.hasNextPage,
        loading: list.isFetchingNextPage,
        load: () => void list.fetchNextPage(),
      }}
      exportMore={{
        label: `The whole range${search.user === undefined ? '' : ' of the user'}, other filters aside`,
        href: everything,
      }}
      empty={<NoRequests filtered={filtersSet(search).length > 0} onClear={() => onClear(noFilters())} />}
    />
  );
}

export function NoRequests({ filtered, onClear }: { filtered: boolean; onClear: () => void }) {
  if (filtered) {
    return (
      <EmptyState
        icon={ScrollText}
        title="No request is like that"
        action={<Button onClick={onClear}>Clear all filters</Button>}
      >
        Take a filter away, or look at a longer time.
      </EmptyState>
    );
  }
  return (
    <EmptyState
      icon={ScrollText}
      title="No requests in this time"
      snippet={`curl ${window.location.origin}/v1/chat/completions \\\n  -H 'content-type: application/json' \\\n  -d '{"model": "gpt-5.5", "messages": [{"role": "user", "content": "Hello"}]}'`}
      action={
        <Link to="/connect" className="button button-primary">
          Connect a client
        </Link>
      }
    >
      Every call of a model through this gateway shows up here within a second of its end. Choose a longer
      time, or make one:
    </EmptyState>
  );
}
