import { Link } from '@tanstack/react-router';
import { asProblem } from '@/api';
import { Card, ErrorState, Ring, Skeleton } from '@/kit';
import { money } from '@/kit/format';
import { emptyIn } from './budgets';
import type { useBudgets } from './useSituation';
import './budgets.css';

const OWN = 4;
const OTHERS = 3;

type View = ReturnType<typeof useBudgets>;
type Bucket = View['all'][number];

/** What is left of the viewer's budgets; for admins also of the fullest ones of others. */
export function Budgets({ view, admin }: { view: View; admin: boolean }) {
  const { query, own, others } = view;
  return (
    <Card title="Budgets" actions={<Link to="/quotas">All budgets</Link>}>
      {query.isPending ? (
        <div className="budgets" aria-busy="true">
          {['a', 'b', 'c'].map(key => (
            <Skeleton key={key} height={44} />
          ))}
        </div>
      ) : query.isError && query.data === undefined ? (
        <ErrorState compact problem={asProblem(query.error)} onRetry={() => void query.refetch()} />
      ) : own.length === 0 && others.length === 0 ? (
        <p className="muted">
          {admin ? (
            <>
              No budget has been used yet. One is set in <Link to="/settings">Settings</Link>, under quotas,
              and counts from its first request on.
            </>
          ) : (
            'No budget counts for your calls.'
          )}
        </p>
      ) : (
        <>
          <List budgets={own.slice(0, OWN)} none="None of these budgets is yours." />
          {others.length > 0 && (
            <>
              <h3 className="budgets-more">Fullest of others</h3>
              <List budgets={others.slice(0, OTHERS)} />
            </>
          )}
        </>
      )}
    </Card>
  );
}

function List({ budgets, none }: { budgets: readonly Bucket[]; none?: string }) {
  if (budgets.length === 0) return none === undefined ? null : <p className="muted">{none}</p>;
  return (
    <ul className="budgets">
      {budgets.map(budget => (
        <li key={budget.id} className="budget">
          <Ring percent={budget.percent_used} label={`${budget.bucket}: ${budget.percent_used} % used`} />
          <div className="budget-text">
            <Link to="/quotas" search={{ q: budget.bucket } as never} className="budget-name">
              <bdi>{budget.bucket}</bdi>
            </Link>
            <div className="budget-left">
              <span title={budget.display.balance}>
                {budget.unit === 'usd' ? money(budget.balance) : budget.display.balance}
              </span>{' '}
              of {budget.display.capacity} left
            </div>
            <div className="budget-when">{when(budget)}</div>
          </div>
        </li>
      ))}
    </ul>
  );
}

/** When it is empty at the present pace; else how it fills up. */
function when(budget: Bucket): string {
  const empty = emptyIn(budget.empty_at, Date.now());
  const refill = budget.display.rate === null ? 'Does not refill' : `Refills ${budget.display.rate}`;
  if (budget.balance <= 0) return `Used up. ${refill}`;
  return empty === null ? refill : `Empty ${empty} at this pace`;
}
