import { Search as SearchIcon } from 'lucide-react';
import { useEffect, useMemo, useState } from 'react';
import { useInfiniteApi, useMe } from '@/api';
import { DataTable, EmptyState, Input } from '@/kit';
import type { TimeSpan } from '@/kit/range';
import { requestColumns } from './columns';
import { filters } from './filters';
import type { Search } from './search';

/** Requests whose captures hold words. */
export function SearchTab({
  search,
  span,
  admin,
  onChange,
}: {
  search: Search;
  span: TimeSpan;
  admin: boolean;
  onChange: (change: Partial<Search>, options?: { replace?: boolean }) => void;
}) {
  const features = useMe().data?.features;
  const [typed, setTyped] = useState(search.q ?? '');
  useEffect(() => {
    const timer = setTimeout(() => {
      const q = typed.trim() === '' ? undefined : typed.trim();
      if (q !== search.q) onChange({ q }, { replace: true });
    }, 350);
    return () => clearTimeout(timer);
  }, [typed, search.q, onChange]);
  const enabled = features?.full_text === true && search.q !== undefined;
  const query = {
    since: span.since,
    until: span.range === 'custom' ? span.until : undefined,
    limit: 50,
    ...filters(search),
    text: search.q,
  };
  const list = useInfiniteApi(
    '/api/requests',
    { query },
    page => ({ rows: page.requests, next: page.next_cursor }),
    { enabled },
  );
  const columns = useMemo(() => requestColumns(admin), [admin]);
  if (features !== undefined && !features.full_text) {
    return (
      <EmptyState
        icon={SearchIcon}
        title={features.captures ? 'What was said is not indexed' : 'What is said is not kept'}
        snippet={
          admin
            ? features.captures
              ? '"captures": { "full_text": true }'
              : '"captures": { "enabled": true }'
            : undefined
        }
      >
        {features.captures
          ? 'Words in requests and answers can be searched once the index of captures is on.'
          : 'Words can be searched where heads and bodies are captured, and captures are off.'}
        {admin ? ' Switch it on in the configuration:' : ' Ask whoever runs this gateway, if you need it.'}
      </EmptyState>
    );
  }
  return (
    <div className="stack">
      <Input
        type="search"
        data-filter-text=""
        className="search-words"
        aria-label="Search in what was said"
        placeholder="Words that a request or an answer holds"
        value={typed}
        onChange={event => setTyped(event.target.value)}
      />
      {search.q === undefined ? (
        <EmptyState icon={SearchIcon} title="Search in what was said">
          All words must be in the same request or its answer.{' '}
          {admin ? 'Filters by user and model apply, too.' : 'Only your own requests are searched.'}
        </EmptyState>
      ) : (
        <DataTable
          label="Found requests"
          columns={columns}
          rows={list.data === undefined ? undefined : list.rows}
          rowId={row => row.request_id}
          loading={list.isLoading || features === undefined}
          problem={list.error}
          onRetry={() => void list.refetch()}
          href={row => ({ to: '/requests/$id', params: { id: row.request_id } })}
          more={{
            has: list.hasNextPage,
            loading: list.isFetchingNextPage,
            load: () => void list.fetchNextPage(),
          }}
          empty={
            <EmptyState icon={SearchIcon} title="Nothing holds these words">
              Look at a longer time, or for fewer words. What was removed from the captures is not found any
              more.
            </EmptyState>
          }
        />
      )}
    </div>
  );
}
