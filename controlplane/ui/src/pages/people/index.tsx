import { Link } from '@tanstack/react-router';
import { Users } from 'lucide-react';
import { useEffect, useState } from 'react';
import { type Schema, useInfiniteApi } from '@/api';
import { AtLeast, DataTable, EmptyState, Page, RowLink, Text, Time, Tokens } from '@/kit';
import { count } from '@/kit/format';
import { useSearchState } from '@/kit/search';
import type { Search } from './search';

type Person = Schema<'Person'>;

/** Milliseconds without a key before the gateway is asked. */
const PAUSE = 250;

const kinds: Record<Person['kind'], string> = {
  person: 'Person',
  device: 'Device',
  local: 'This machine',
  token: 'Token',
};

export default function PeoplePage() {
  const [search, setSearch] = useSearchState<Search>();
  const [words, setWords] = useState(search.q ?? '');
  const sort = search.sort ?? 'last';
  const descending = (search.order ?? (sort === 'login' ? 'asc' : 'desc')) === 'desc';
  useEffect(() => {
    if (words === (search.q ?? '')) return;
    const timer = setTimeout(() => setSearch({ q: words || undefined }, { replace: true }), PAUSE);
    return () => clearTimeout(timer);
  }, [words, search.q, setSearch]);
  const list = useInfiniteApi(
    '/api/people',
    { query: { search: search.q, sort, order: descending ? 'desc' : 'asc' } },
    page => ({ rows: page.people, next: page.next_cursor }),
  );
  const total = list.data?.pages[0]?.total;
  return (
    <Page
      title="People"
      description="Everybody who has called: people, tagged devices, tokens. What they are granted, and why, stands with each."
    >
      <DataTable<Person>
        label="People"
        rows={list.data === undefined ? undefined : list.rows}
        rowId={person => person.login}
        loading={list.isPending}
        problem={list.error}
        onRetry={() => void list.refetch()}
        href={person => ({ to: '/people/$login', params: { login: person.login } })}
        filter={false}
        sort={{ id: sort, descending }}
        onSort={next =>
          setSearch({ sort: next.id as Search['sort'], order: next.descending ? 'desc' : 'asc' })
        }
        more={{
          has: list.hasNextPage,
          loading: list.isFetchingNextPage,
          load: () => void list.fetchNextPage(),
        }}
        toolbar={
          <>
            <input
              className="input table-filter"
              type="search"
              aria-label="Search people"
              placeholder="Search"
              value={words}
              onChange={event => setWords(event.target.value)}
            />
            {total !== undefined && <span className="muted">{count(total)} in all</span>}
          </>
        }
        columns={[
          {
            id: 'login',
            header: 'Login',
            grow: true,
            value: person => person.login,
            cell: person => (
              <RowLink to="/people/$login" params={{ login: person.login }}>
                <Text text={person.login} clamp={80} />
              </RowLink>
            ),
          },
          { id: 'kind', header: 'Kind', rank: 2, sortable: false, value: person => kinds[person.kind] },
          {
            id: 'last',
            header: 'Last call',
            value: person => person.last,
            cell: person => <Time time={person.last} relative />,
          },
          {
            id: 'requests',
            header: 'Requests',
            align: 'end',
            value: person => person.requests,
            cell: person => count(person.requests),
          },
          {
            id: 'errors',
            header: 'Errors',
            rank: 1,
            align: 'end',
            value: person => person.errors,
            cell: person => count(person.errors),
          },
          {
            id: 'tokens',
            header: 'Model tokens',
            align: 'end',
            hint: 'Input and output',
            value: person => person.input + person.output,
            cell: person => <Tokens tokens={person.input + person.output} />,
          },
          {
            id: 'cost',
            header: 'Cost',
            align: 'end',
            value: person => person.cost_nanousd,
            cell: person => <AtLeast sums={person} />,
          },
          {
            id: 'first',
            header: 'First call',
            hidden: true,
            value: person => person.first,
            cell: person => <Time time={person.first} relative />,
          },
        ]}
        empty={
          <EmptyState
            icon={Users}
            title={search.q === undefined ? 'Nobody has called yet' : 'Nobody is called like that'}
          >
            Whoever makes a first call appears here. How to make one stands under{' '}
            <Link to="/connect">Connect</Link>.
          </EmptyState>
        }
      />
    </Page>
  );
}
