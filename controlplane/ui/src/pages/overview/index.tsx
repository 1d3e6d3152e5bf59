import { asProblem, useApi, useMe } from '@/api';
import { ErrorState, Page } from '@/kit';
import { Attention } from './Attention';
import { Budgets } from './Budgets';
import { FirstRequest } from './FirstRequest';
import { Now } from './Now';
import { useLive } from './useLive';
import { useBudgets, useMatters } from './useSituation';
import './overview.css';

/** The first page: what happens now, what it costs, what needs attention. Users see their own; admins everybody, or anybody. */
export default function OverviewPage() {
  const me = useMe();
  const admin = me.data?.role === 'admin';
  const login = me.data?.login;

  const known = me.data !== undefined;
  const live = useLive(undefined, known);
  const any = useApi(
    '/api/requests',
    { query: { limit: 1 } },
    { enabled: known && !live.live.any, staleTime: 60_000, keepPrevious: false },
  );
  const budgets = useBudgets(login, admin);
  const matters = useMatters(admin, admin ? budgets.all : budgets.own, undefined);

  if (me.isError) {
    return (
      <Page title="Overview">
        <ErrorState problem={asProblem(me.error)} onRetry={() => void me.refetch()} />
      </Page>
    );
  }
  const first = !live.live.any && any.data?.requests.length === 0;
  return (
    <Page title="Overview">
      {first ? (
        <FirstRequest state={live.state} login={login ?? ''} />
      ) : (
        <>
          <Now view={live} everybody={admin} />
          <Attention matters={matters.matters} pending={matters.pending} />
          <Budgets view={budgets} admin={admin} />
        </>
      )}
    </Page>
  );
}
