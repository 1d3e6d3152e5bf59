import { useEffect, useRef } from 'react';
import { asProblem, useApi, useMe } from '@/api';
import { ErrorState, Page, TimeRangePicker } from '@/kit';
import { useTimeRange } from '@/kit/range';
import { useSearchState } from '@/kit/search';
import { Attention } from './Attention';
import { Budgets } from './Budgets';
import { Charts } from './Charts';
import { FirstRequest } from './FirstRequest';
import { Now } from './Now';
import { PersonPicker } from './PersonPicker';
import { Summary } from './Summary';
import type { Search } from './search';
import { Tops } from './Tops';
import { useLive } from './useLive';
import { useBudgets, useMatters } from './useSituation';
import { useSeries } from './useUsage';
import './overview.css';

/** The first page: what happens now, what it costs, what needs attention. Users see their own; admins everybody, or anybody. */
export default function OverviewPage() {
  const [search, set] = useSearchState<Search>();
  const me = useMe();
  const admin = me.data?.role === 'admin';
  const login = me.data?.login;
  const user = admin ? search.user : undefined;
  const span = useTimeRange(search, '24h');

  const known = me.data !== undefined;
  const live = useLive(user, known);
  const any = useApi(
    '/api/requests',
    { query: { limit: 1, user } },
    { enabled: known && !live.live.any, staleTime: 60_000, keepPrevious: false },
  );
  const series = useSeries(span, user, known);
  const budgets = useBudgets(login, admin);
  const byModel = useApi(
    '/api/usage',
    { query: { by: 'model', since: span.since, until: span.until, user } },
    { enabled: known },
  );
  const unpriced = byModel.data?.groups.map(({ key, unpriced: requests }) => ({ model: key, requests }));
  const matters = useMatters(admin, admin ? budgets.all : budgets.own, unpriced);
  const first = user === undefined && !live.live.any && any.data?.requests.length === 0;

  // What was asked before the first request says that there is nothing, and would say so until it is asked again.
  const waited = useRef(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the moment counts, not what is asked then
  useEffect(() => {
    if (waited.current && !first) {
      void series.refetch();
      void byModel.refetch();
    }
    waited.current = first;
  }, [first]);

  if (me.isError) {
    return (
      <Page title="Overview">
        <ErrorState problem={asProblem(me.error)} onRetry={() => void me.refetch()} />
      </Page>
    );
  }
  return (
    <Page
      title="Overview"
      actions={
        <>
          {admin && <PersonPicker value={user} login={login} onChange={person => set({ user: person })} />}
          {!first && <TimeRangePicker value={search} onChange={set} fallback="24h" />}
        </>
      }
    >
      {first ? (
        <FirstRequest state={live.state} login={login ?? ''} />
      ) : (
        <>
          <Now view={live} everybody={admin && user === undefined} />
          <Attention matters={matters.matters} pending={matters.pending} />
          <Summary series={series.data} byModel={byModel.data} label={span.label} failed={series.isError} />
          <Charts series={series} beside={<Budgets view={budgets} admin={admin} />} />
          <Tops series={series} span={span} user={user} admin={admin} />
        </>
      )}
    </Page>
  );
}
