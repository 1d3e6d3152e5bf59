import { Link } from '@tanstack/react-router';
import { type Schema, useApi } from '@/api';
import { Amount, Badge, Card, Ring, Text } from '@/kit';
import { unitName } from '@/kit/amounts';
import { StateBadge } from '../providers/StateBadge';

/** Who serves the model, in the order in which they are tried, and the viewer's budgets that a call is charged to. */
export function Served({ info, admin }: { info: Schema<'Model'>; admin: boolean }) {
  const providers = useApi('/api/providers', undefined, { enabled: admin, refetchInterval: 15_000 });
  const health = new Map(
    (providers.data?.providers ?? []).flatMap(provider =>
      'health' in provider ? [[provider.id, provider.health] as const] : [],
    ),
  );
  return (
    <>
      <Card title="Served by">
        {info.providers.length === 0 ? (
          <p className="muted">
            No provider of the present configuration serves it: calls are answered with 404.
          </p>
        ) : (
          <ol className="served">
            {info.providers.map(provider => {
              const state = health.get(provider.id);
              return (
                <li key={provider.id}>
                  <div className="served-head">
                    <Link to="/providers" search={{ provider: provider.id }}>
                      <Text text={provider.name || provider.id} />
                    </Link>
                    {state !== undefined && <StateBadge state={state.state} windowS={state.window_s} />}
                  </div>
                  {provider.model !== info.model && (
                    <div className="faint">
                      as <Text text={provider.model} mono />
                    </div>
                  )}
                  <div className="row">
                    {provider.endpoints.map(endpoint => (
                      <Badge key={endpoint}>{endpoint}</Badge>
                    ))}
                    {provider.serves === 'pattern' && (
                      <Badge title="Its list of models holds a pattern that fits">by pattern</Badge>
                    )}
                  </div>
                </li>
              );
            })}
          </ol>
        )}
      </Card>
      {info.quotas.length > 0 && (
        <Card title="Your budgets for it">
          <ul className="served">
            {info.quotas.map(quota => (
              <li key={`${quota.quota} ${quota.bucket} ${quota.unit}`} className="served-quota">
                <Ring
                  percent={quota.percent_used}
                  label={`${quota.bucket}, ${unitName(quota.unit)}: ${quota.percent_used === null ? 'unknown' : `${quota.percent_used} % used`}`}
                />
                <div className="served-budget">
                  <Link to="/quotas" search={{ q: quota.bucket } as never}>
                    <Text text={quota.bucket} />
                  </Link>
                  <div className="muted">
                    {quota.balance === null ? (
                      `${unitName(quota.unit)}: what is left is unknown`
                    ) : (
                      <>
                        {unitName(quota.unit)}: <Amount unit={quota.unit} value={quota.balance} /> of{' '}
                        <Amount unit={quota.unit} value={quota.capacity} /> left
                      </>
                    )}
                  </div>
                </div>
              </li>
            ))}
          </ul>
        </Card>
      )}
    </>
  );
}
