import { Link } from '@tanstack/react-router';
import { useApi } from '@/api';
import { Badge, Callout, ErrorState, Skeleton, Text } from '@/kit';
import './guardrails.css';

/** A captured call, as the guardrails in force now see it. */
export function Shadow({ request, rule }: { request: string; rule: string }) {
  const found = useApi('/api/captures/{id}/shadow', { path: { id: request } }, { staleTime: 60_000 });
  if (found.error !== null) {
    return (
      <ErrorState
        problem={found.error}
        advice="Only calls whose bodies were kept can be looked at again."
        compact
      />
    );
  }
  if (found.data === undefined) return <Skeleton height={200} />;
  const rules = [...found.data.rules].sort((a, b) => Number(b.name === rule) - Number(a.name === rule));
  if (rules.every(one => one.found.length === 0)) {
    return (
      <Callout>
        None of the guardrails in force now finds anything in this call. What was redacted is redacted in the
        capture, too.
      </Callout>
    );
  }
  return (
    <div className="stack">
      {rules
        .filter(one => one.found.length > 0)
        .map(one => (
          <section key={one.name} className="stack">
            <h3 className="row">
              <Text text={one.name} clamp={80} />
              <Badge tone={one.shadow ? 'info' : 'good'}>{one.shadow ? 'shadow' : 'in force'}</Badge>
              <Badge>{one.action}</Badge>
            </h3>
            {one.found.map(place => (
              <div key={`${place.where} ${place.what} ${place.before}`} className="shadow-place">
                <div className="muted">
                  <Text text={place.where} mono clamp={120} />: <Text text={place.what} clamp={60} />
                  {place.count > 1 && <>, {place.count} times</>}
                </div>
                {place.before !== null && (
                  <div className="shadow-line shadow-before">
                    <Text text={place.before} mono clamp={600} />
                  </div>
                )}
                {place.after !== null && (
                  <div className="shadow-line shadow-after">
                    <Text text={place.after} mono clamp={600} />
                  </div>
                )}
              </div>
            ))}
            {one.more > 0 && <p className="muted">{one.more} more are not shown.</p>}
            {one.shadow && (
              <p className="muted">
                To put it in force, take <code>"shadow": true</code> out of it under{' '}
                <Link to="/settings" search={{ tab: 'visual', section: 'guardrails' }}>
                  Settings → Guardrails
                </Link>
                .
              </p>
            )}
          </section>
        ))}
    </div>
  );
}
