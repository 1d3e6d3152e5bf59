import { Gauge } from 'lucide-react';
import { type Schema, useInfiniteApi, useMe } from '@/api';
import { DataTable, EmptyState, Page, Ring, Text, Time } from '@/kit';
import { useSearchState } from '@/kit/search';
import { Bucket } from './Bucket';
import { burnText, emptyText, left } from './figures';
import type { Search } from './search';

type Row = Schema<'Bucket'>;

const snippet = `"quotas": {
  "daily:<user>": { "capacity": "$10.00", "rate": "$5.00/day" },
},
"grants": [
  { "src": ["*"], "capabilities": [{ "quotas": [{ "bucket": "daily:<user>" }] }] },
],`;

export default function QuotasPage() {
  const me = useMe();
  const [search, setSearch] = useSearchState<Search>();
  const list = useInfiniteApi(
    '/api/quotas',
    { query: { limit: 200 } },
    page => ({ rows: page.quotas, next: page.next }),
    { refetchInterval: 5000 },
  );
  // One that is not on this page, of a link: asked for by itself would be better than by its number, which lists do not take.
  const chosen = list.rows.find(row => row.id === search.id);
  const admin = me.data?.role === 'admin';
  const words = search.q?.toLowerCase();
  const rows =
    words === undefined ? list.rows : list.rows.filter(row => row.bucket.toLowerCase().includes(words));
  return (
    <Page
      title="Quotas"
      description="A bucket has a ceiling and is refilled all the time. A call takes what it costs from each bucket that counts for it, and is refused if one has not enough."
    >
      <DataTable<Row>
        label="Budgets"
        rows={list.data === undefined ? undefined : rows}
        rowId={row => String(row.id)}
        loading={list.isPending}
        problem={list.error}
        onRetry={() => void list.refetch()}
        onOpen={row => setSearch({ id: row.id })}
        selected={search.id === undefined ? undefined : String(search.id)}
        sort={{ id: 'used', descending: true }}
        more={{
          has: list.hasNextPage,
          loading: list.isFetchingNextPage,
          load: () => void list.fetchNextPage(),
        }}
        toolbar={
          search.q !== undefined && (
            <button type="button" className="button button-small" onClick={() => setSearch({ q: undefined })}>
              Only with “<Text text={search.q} clamp={40} />” ✕
            </button>
          )
        }
        columns={[
          {
            id: 'ring',
            header: '',
            value: () => null,
            cell: row => (
              <Ring
                percent={row.percent_used}
                size={34}
                label={`${row.bucket}: ${row.percent_used} % used`}
              />
            ),
          },
          {
            id: 'bucket',
            header: 'Bucket',
            grow: true,
            value: row => row.bucket,
            cell: row => (
              <button type="button" className="link" onClick={() => setSearch({ id: row.id })}>
                <Text text={row.bucket} clamp={80} />
              </button>
            ),
          },
          { id: 'unit', header: 'Counts', value: row => row.unit },
          {
            id: 'used',
            header: 'Used',
            align: 'end',
            hint: 'Of the ceiling; above 100 % the bucket is in debt',
            value: row => row.percent_used,
            cell: row => `${row.percent_used} %`,
          },
          {
            id: 'left',
            header: 'Left',
            align: 'end',
            value: row => left(row),
            cell: row => row.display.balance,
          },
          {
            id: 'capacity',
            header: 'Ceiling',
            align: 'end',
            value: row => row.capacity,
            cell: row => row.display.capacity,
          },
          {
            id: 'rate',
            header: 'Refilled',
            align: 'end',
            value: row => row.display.rate,
            cell: row => row.display.rate ?? <span className="faint">never</span>,
          },
          {
            id: 'burn',
            header: 'Burn',
            align: 'end',
            hint: 'What was taken, an hour, lately',
            value: row => burnText(row),
            cell: row => burnText(row) ?? <span className="faint">unknown</span>,
          },
          {
            id: 'empty',
            header: 'Empty',
            hint: 'At the present burn, less the refill',
            value: row => emptyText(row) ?? row.empty_at,
            cell: row => {
              const said = emptyText(row);
              return said === null ? (
                <Time time={row.empty_at} relative />
              ) : (
                <span className={said === 'now' ? 'nowrap' : 'faint nowrap'}>{said}</span>
              );
            },
          },
        ]}
        empty={
          <EmptyState icon={Gauge} title="No budget counts yet" snippet={snippet}>
            A bucket appears with the first call that it counts for. Define it, and name it in a grant, under
            Settings:
          </EmptyState>
        }
      />
      {chosen !== undefined && (
        <Bucket bucket={chosen} admin={admin} onClose={() => setSearch({ id: undefined })} />
      )}
    </Page>
  );
}
