import { useEffect, useRef } from 'react';
import { type Schema, useApi, useInfiniteApi } from '@/api';
import { Amount, type Column, DataTable, Text, Time } from '@/kit';
import { rate, unitName } from '@/kit/amounts';
import { Bucket } from './Bucket';
import { limits } from './definitions';
import { burnText, emptyText, type Said } from './figures';
import type { Search } from './search';

type Row = Schema<'Bucket'>;

const PAGE = 50;

const faint = ({ text, why }: Said) => (
  <span className={text === 'now' ? 'nowrap' : 'faint nowrap'} title={why}>
    {text}
  </span>
);

const columns = (open: (row: Row) => void): readonly Column<Row>[] => [
  {
    id: 'bucket',
    header: 'Bucket',
    grow: true,
    value: row => row.bucket,
    cell: row => (
      <button type="button" className="link" onClick={() => open(row)}>
        <Text text={row.bucket} clamp={80} />
      </button>
    ),
  },
  { id: 'unit', header: 'Counts', sortable: false, value: row => unitName(row.unit) },
  {
    id: 'used',
    header: 'Used',
    align: 'end',
    hint: 'Of the ceiling; above 100 % the bucket is in debt',
    value: row => row.percent_used,
    cell: row => (
      <span
        className="quota-used"
        data-full={row.percent_used >= 100 || undefined}
        data-tight={row.percent_used >= 80 || undefined}
      >
        {row.percent_used} %
      </span>
    ),
  },
  {
    id: 'left',
    header: 'Left',
    align: 'end',
    sortable: false,
    value: row => row.balance,
    cell: row => <Amount unit={row.unit} value={row.balance} />,
  },
  {
    id: 'capacity',
    header: 'Ceiling',
    align: 'end',
    hidden: true,
    sortable: false,
    value: row => row.capacity,
    cell: row => <Amount unit={row.unit} value={row.capacity} />,
  },
  {
    id: 'rate',
    header: 'Refilled',
    align: 'end',
    hidden: true,
    sortable: false,
    value: row => row.display.rate,
    cell: row => rate(row.unit, row.rate) ?? <span className="faint">never</span>,
  },
  {
    id: 'burn',
    header: 'Burn',
    align: 'end',
    sortable: false,
    rank: 1,
    hint: 'What was taken, an hour, lately',
    value: row => row.burn?.per_h,
    cell: row => {
      const said = burnText(row);
      return typeof said === 'string' ? said : faint(said);
    },
  },
  {
    id: 'empty',
    header: 'Empty',
    sortable: false,
    rank: 2,
    hint: 'At the present burn, less the refill',
    value: row => row.empty_at,
    cell: row => {
      const said = emptyText(row);
      return said === null ? <Time time={row.empty_at} relative /> : faint(said);
    },
  },
];

/** One quota: what it allows, and its buckets, ordered and searched by the gateway. */
export function Section({
  quota,
  search,
  set,
  admin,
}: {
  quota: string;
  search: Search;
  set: (change: Partial<Search>) => void;
  admin: boolean;
}) {
  const sort = search.sort ?? 'used';
  const list = useInfiniteApi(
    '/api/quotas',
    { query: { quota, sort, search: search.q, limit: PAGE } },
    page => ({ rows: page.quotas, next: page.next }),
    { refetchInterval: 10_000 },
  );
  const listed = list.rows.find(row => row.id === search.id);
  // A link may lead to one that is far down the list.
  const linked = useApi(
    '/api/quotas',
    { query: { id: search.id } },
    { enabled: search.id !== undefined && listed === undefined && !list.isPending, refetchInterval: 10_000 },
  );
  const chosen = listed ?? linked.data?.quotas.find(row => row.id === search.id && row.quota === quota);
  const panel = useRef<HTMLDivElement>(null);
  // It stands below a list that may be long.
  useEffect(() => {
    if (chosen?.id !== undefined) panel.current?.scrollIntoView({ block: 'start' });
  }, [chosen?.id]);
  const words = limits(list.rows);
  return (
    <section className="quota" aria-label={`Quota ${quota}`}>
      <div>
        <h2>
          <Text text={quota} clamp={120} />
        </h2>
        {words.length > 0 && <p className="muted quota-limits">{words.join(' · ')}</p>}
      </div>
      <DataTable<Row>
        label={`Budgets of ${quota}`}
        columns={columns(row => set({ id: row.id }))}
        rows={list.data === undefined ? undefined : list.rows}
        rowId={row => String(row.id)}
        loading={list.isPending}
        problem={list.error}
        onRetry={() => void list.refetch()}
        onOpen={row => set({ id: row.id })}
        selected={search.id === undefined ? undefined : String(search.id)}
        filter={false}
        sort={{ id: sort, descending: sort === 'used' }}
        onSort={next => set({ sort: next.id === 'bucket' ? 'bucket' : undefined })}
        more={{
          has: list.hasNextPage,
          loading: list.isFetchingNextPage,
          load: () => void list.fetchNextPage(),
        }}
        empty={
          <p className="muted">
            {search.q === undefined
              ? 'No call has counted for it yet.'
              : 'None of its buckets is called that.'}
          </p>
        }
      />
      {chosen !== undefined && (
        <div className="quota-chosen" ref={panel}>
          <Bucket bucket={chosen} admin={admin} onClose={() => set({ id: undefined })} />
        </div>
      )}
    </section>
  );
}
