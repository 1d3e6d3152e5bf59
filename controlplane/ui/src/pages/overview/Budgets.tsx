import { Link } from '@tanstack/react-router';
import { Fragment } from 'react';
import { asProblem } from '@/api';
import { Amount, Card, ErrorState, Ring, Skeleton } from '@/kit';
import { rate, unitName } from '@/kit/amounts';
import { emptyIn, inUse } from './budgets';
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
          {admin && (
            <>
              <h3 className="budgets-more">Fullest of others</h3>
              <List budgets={inUse(others).slice(0, OTHERS)} none="Nobody else is near their limit." />
            </>
          )}
        </>
      )}
    </Card>
  );
}

function List({ budgets, none }: { budgets: readonly Bucket[]; none: string }) {
  if (budgets.length === 0) return <p className="muted">{none}</p>;
  return (
    <ul className="budgets">
      {budgets.map(budget => (
        <li key={budget.id} className="budget">
          <Ring
            percent={budget.percent_used}
            label={`${budget.bucket}, ${unitName(budget.unit)}: ${budget.percent_used} % used`}
          />
          <div className="budget-text">
            <Link to="/quotas" search={{ q: budget.bucket } as never} className="budget-name">
              <bdi>
                {budget.bucket.split(/(?<=[:/])/).map((part, at) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: parts of one text
                  <Fragment key={at}>
                    {part}
                    <wbr />
                  </Fragment>
                ))}
              </bdi>
            </Link>
            <div className="budget-left">
              {capital(unitName(budget.unit))}: <Amount unit={budget.unit} value={budget.balance} /> of{' '}
              <Amount unit={budget.unit} value={budget.capacity} /> left
            </div>
            <div className="budget-when">{when(budget)}</div>
          </div>
        </li>
      ))}
    </ul>
  );
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** When it is empty at the present pace; else how it fills up. */
function when(budget: Bucket): string {
  const empty = emptyIn(budget.empty_at, Date.now());
  const fills = rate(budget.unit, budget.rate);
  const refill = fills === null ? 'Does not refill' : `Refills ${fills}`;
  if (budget.balance <= 0) return `Used up. ${refill}`;
  return empty === null ? refill : `Empty ${empty} at this pace`;
}
