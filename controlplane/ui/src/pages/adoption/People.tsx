import { apiUrl, type Schema, useInfiniteApi } from '@/api';
import { type Column, Cost, DataTable, Input, RowLink, Text, Time, Tokens } from '@/kit';
import { count, percent, share } from '@/kit/format';
import { type Search, SORTS } from './search';

type Person = Schema<'AdoptionUser'>;
type SortId = (typeof SORTS)[number];

const PAGE = 50;

const columns: readonly Column<Person>[] = [
  {
    id: 'login',
    header: 'Person',
    value: person => person.login,
    cell: person => (
      <RowLink to="/people/$login" params={{ login: person.login }}>
        <Text text={person.login} clamp={70} />
      </RowLink>
    ),
    grow: true,
  },
  { id: 'requests', header: 'Requests', align: 'end', value: person => person.requests },
  {
    id: 'errors',
    header: 'Errors',
    align: 'end',
    sortable: false,
    value: person => share(person.errors, person.requests),
    cell: person => percent(share(person.errors, person.requests)),
  },
  {
    id: 'tokens',
    header: 'Model tokens',
    align: 'end',
    value: person => person.input + person.output,
    cell: person => <Tokens tokens={person.input + person.output} />,
  },
  {
    id: 'cost',
    header: 'Cost',
    align: 'end',
    hint: 'Known cost in the range',
    value: person => person.cost_nanousd,
    cell: person => <Cost of={person} />,
  },
  {
    id: 'days',
    header: 'Active days',
    align: 'end',
    hint: 'Days of the range with a request',
    value: person => person.days_active,
  },
  {
    id: 'first',
    header: 'First seen',
    hidden: true,
    sortable: false,
    value: person => person.first,
    cell: person => <Time time={person.first} />,
  },
  {
    id: 'last',
    header: 'Last seen',
    value: person => person.last,
    cell: person => <Time time={person.last} relative />,
  },
];

export interface PeopleProps {
  period: { since: string; until: string; offset_s: number };
  search: Search;
  set: (change: Partial<Search>, options?: { replace?: boolean }) => void;
}

/** Everybody who was active, ordered and searched by the gateway; the export holds all of them. */
export function People({ period, search, set }: PeopleProps) {
  const sort = search.sort ?? 'cost';
  const order = search.order ?? (sort === 'login' ? 'asc' : 'desc');
  const query = { ...period, sort, order, search: search.q };
  const people = useInfiniteApi('/api/adoption/users', { query: { ...query, limit: PAGE } }, page => ({
    rows: page.users,
    next: page.next_cursor,
  }));
  const total = people.data?.pages[0]?.total;
  return (
    <section aria-label="People by use">
      <DataTable
        label="People"
        columns={columns}
        rows={people.data === undefined ? undefined : people.rows}
        loading={people.isPending}
        problem={people.error}
        onRetry={() => void people.refetch()}
        rowId={person => person.login}
        href={person => ({ to: '/people/$login', params: { login: person.login } })}
        sort={{ id: sort, descending: order === 'desc' }}
        onSort={next => {
          const id = SORTS.find(known => known === next.id) as SortId | undefined;
          if (id !== undefined) set({ sort: id, order: next.descending ? 'desc' : 'asc' });
        }}
        more={{
          has: people.hasNextPage,
          loading: people.isFetchingNextPage,
          load: () => void people.fetchNextPage(),
        }}
        filter={false}
        exportHref={apiUrl('/api/adoption/users', { query: { ...query, format: 'csv' } })}
        toolbar={
          <>
            <Input
              type="search"
              aria-label="Search people"
              placeholder="Search people"
              value={search.q ?? ''}
              onChange={event => set({ q: event.target.value || undefined }, { replace: true })}
            />
            {total !== undefined && <span className="muted">{count(total)} people</span>}
          </>
        }
      />
    </section>
  );
}
