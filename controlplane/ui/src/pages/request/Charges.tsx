import { Link } from '@tanstack/react-router';
import { useApi } from '@/api';
import { Card } from '@/kit';
import { exact } from '@/kit/Exact';
import { count } from '@/kit/format';
import { visible } from '@/kit/visible';
import type { RequestRow } from '../logs/common/parts';
import { exactNanoUsd } from './costs';

/** What was taken from which budgets. */
export function Charges({ row }: { row: RequestRow }) {
  const any = row.charges.length > 0;
  const quotas = useApi('/api/quotas', { query: { limit: 1000 } }, { enabled: any, staleTime: 60_000 });
  return (
    <Card title="Budgets">
      {!any && <p className="muted">No budget was charged for this request.</p>}
      {any && (
        <table className="mini" {...exact}>
          <tbody>
            {row.charges.map(charge => {
              const bucket = quotas.data?.quotas.find(
                one => one.id === charge.bucket && one.unit === charge.unit,
              );
              return (
                <tr key={`${charge.bucket}-${charge.unit}`}>
                  <td>
                    {bucket === undefined ? (
                      <span className="muted" title="It is not in use any more, or not shown to you.">
                        bucket {charge.bucket}
                      </span>
                    ) : (
                      <Link to="/quotas" title={`Of the quota ${visible(bucket.quota)}`}>
                        {visible(bucket.bucket)}
                      </Link>
                    )}
                  </td>
                  <td className="num">
                    {charge.unit === 'usd'
                      ? exactNanoUsd(BigInt(charge.amount))
                      : `${count(charge.amount)} ${charge.unit}`}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
    </Card>
  );
}
