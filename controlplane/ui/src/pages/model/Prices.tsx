import { Link } from '@tanstack/react-router';
import { useApi, useIsAdmin } from '@/api';
import { Badge, Callout, ErrorState, Skeleton, Text } from '@/kit';
import { PriceTable } from './PriceTable';

/** What a model costs at each provider that serves it, and where that is from. */
export function Prices({ model }: { model: string }) {
  const admin = useIsAdmin() === true;
  const pricing = useApi('/aperture/pricing/{model}', { path: { model } }, { staleTime: 60_000 });
  if (pricing.data === undefined) {
    if (pricing.isError && pricing.error.status === 404) return <Unpriced model={model} admin={admin} />;
    if (pricing.isError)
      return <ErrorState compact problem={pricing.error} onRetry={() => void pricing.refetch()} />;
    return (
      <div aria-busy="true">
        <Skeleton height={150} />
      </div>
    );
  }
  return (
    <div className="stack">
      {pricing.data.prices.map(price => (
        <section key={price.provider ?? ''} className="price">
          <h3>
            <Text text={price.provider ?? 'Price list'} />
            {price.overridden && <Badge title="The configuration names this price">set here</Badge>}
          </h3>
          {price.priced ? (
            <>
              <PriceTable price={price} caption={`Price at ${price.provider ?? 'the price list'}`} />
              <p className="price-source">
                {price.priced_as !== undefined && price.priced_as !== model && (
                  <>
                    Priced as <Text text={price.priced_as} mono />.{' '}
                  </>
                )}
                {price.source !== undefined && (
                  <>
                    Source: <Text text={price.source} />
                    {price.date !== undefined && <>, {price.date}</>}.
                  </>
                )}
              </p>
              {price.steps !== undefined && price.steps.length > 0 && (
                <details className="price-steps">
                  <summary>How this price was found</summary>
                  <ol>
                    {price.steps.map(step => (
                      <li key={step}>
                        <Text text={step} />
                      </li>
                    ))}
                  </ol>
                </details>
              )}
            </>
          ) : (
            <Unpriced model={model} admin={admin} />
          )}
        </section>
      ))}
    </div>
  );
}

function Unpriced({ model, admin }: { model: string; admin: boolean }) {
  return (
    <Callout tone="warn" title="No price is known">
      Calls are counted in model tokens; what they cost is unknown, not 0.{' '}
      {admin && (
        <>
          Set one in <Link to="/settings">Settings</Link> under prices:{' '}
          <code>
            <Text text={`"prices": { ${JSON.stringify(model)}: { "input": "1.00", "output": "4.00" } }`} />
          </code>
        </>
      )}
    </Callout>
  );
}
