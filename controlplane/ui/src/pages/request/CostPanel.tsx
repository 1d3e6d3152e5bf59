import { Link } from '@tanstack/react-router';
import { useApi } from '@/api';
import { Callout, Card, ErrorState, Skeleton } from '@/kit';
import { exact } from '@/kit/Exact';
import { count } from '@/kit/format';
import { visible } from '@/kit/visible';
import { Cost, type RequestRow } from '../logs/common/parts';
import { type Explained, exactNanoUsd, exactUsd, explainBest, type Price } from './costs';

/** What a request cost, part by part. */
export function CostPanel({ row }: { row: RequestRow }) {
  const needed = row.cost_nanousd !== null && row.priced;
  // The price of a call is looked up by both names; which of them counts depends on the provider.
  const answered = usePrices(row.model_answered, needed);
  const asked = usePrices(row.model_asked, needed && row.model_asked !== row.model_answered);
  const loading = answered.isLoading || asked.isLoading;
  const mine = (price: Price) => price.provider === row.provider;
  const prices = [...(answered.data?.prices ?? []), ...(asked.data?.prices ?? [])] as Price[];
  const explained = explainBest(row, [...prices.filter(mine), ...prices.filter(price => !mine(price))]);
  const problem = prices.length === 0 ? (answered.error ?? asked.error) : null;
  return (
    <Card title="Cost" actions={<Cost row={row} />}>
      {!needed && <p className="muted">{whyNone(row)}</p>}
      {needed && loading && <Skeleton height={88} />}
      {needed && !loading && problem != null && problem.status !== 404 && (
        <ErrorState compact problem={problem} onRetry={() => void answered.refetch()} />
      )}
      {needed && !loading && explained === null && (problem == null || problem.status === 404) && (
        <p className="muted">
          This model has no price any more, so that the cost cannot be explained part by part. It was recorded
          with the prices of configuration {row.epoch}.
        </p>
      )}
      {needed && explained !== null && <Parts row={row} explained={explained} />}
      {row.stated_cost_nanousd !== null && (
        <p className="muted" title="Kept beside the computed cost, and not used for it.">
          The provider itself states {exactNanoUsd(BigInt(row.stated_cost_nanousd))}.
        </p>
      )}
    </Card>
  );
}

const usePrices = (model: string | null, enabled: boolean) =>
  useApi(
    '/aperture/pricing/{model}',
    { path: { model: model ?? '' } },
    { enabled: enabled && model !== null && model !== '', staleTime: 300_000, keepPrevious: false },
  );

function whyNone(row: RequestRow): string {
  if (row.provider === '') return 'It was refused before a provider was chosen: nothing was consumed.';
  if (!row.priced)
    return 'No price was found for this model. Set one in the configuration, under prices, and later requests are priced.';
  if (row.usage_known === 'unknown') return 'Nothing is known of the tokens, and so nothing of the cost.';
  return 'The record states nothing that this model is billed by.';
}

function Parts({ row, explained }: { row: RequestRow; explained: Explained }) {
  const { lines, sum, difference, price, tier, above } = explained;
  return (
    <>
      <div className="scroll-x" tabIndex={0} role="region" aria-label="Parts of the cost">
        <table className="mini" {...exact}>
          <thead>
            <tr>
              <th>Part</th>
              <th className="num">Count</th>
              <th className="num">Price</th>
              <th className="num">Cost</th>
            </tr>
          </thead>
          <tbody>
            {lines.map(line => (
              <tr key={line.what}>
                <td>{visible(line.what)}</td>
                <td className="num">{count(line.count)}</td>
                <td
                  className="num"
                  title={`$${line.rate} for ${line.unit === 'tokens' ? '1,000,000 tokens' : line.unit === 'ms' ? 'one second' : 'one'}`}
                >
                  ${line.rate}
                  <span className="faint">
                    {line.unit === 'tokens' ? ' /M' : line.unit === 'ms' ? ' /s' : ''}
                  </span>
                </td>
                <td className="num">{exactUsd(line.femto)}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <td colSpan={3}>{difference === 0n ? 'Recorded, and the sum' : 'Sum'}</td>
              <td className="num" title="Rounded once, half up, to a billionth of a dollar.">
                {exactNanoUsd(sum)}
              </td>
            </tr>
          </tfoot>
        </table>
      </div>
      {difference !== null && difference !== 0n && (
        <Difference row={row} explained={explained} difference={difference} />
      )}
      <p className="faint cost-source">
        {tier !== null && <>Prices of the service tier {tier}. </>}
        {above !== null && <>Prices for prompts of more than {count(above)} tokens. </>}
        Priced as <span className="mono">{visible(price.priced_as ?? price.model ?? '')}</span>
        {price.date !== undefined && <> ({price.date})</>}.{' '}
        <Link to="/models/$" params={{ _splat: row.model_asked }}>
          All prices of the model
        </Link>
      </p>
    </>
  );
}

/** Why the sum at the present prices is not the recorded cost. */
function Difference({
  row,
  explained,
  difference,
}: {
  row: RequestRow;
  explained: Explained;
  difference: bigint;
}) {
  const reasons = [
    (row.hosted_tools ?? 0) > 0 && 'tools of the provider that are billed by the call',
    explained.unpricedSide.length > 0 &&
      `work of ${explained.unpricedSide.map(visible).join(', ')}, whose price is not shown here`,
    'prices that changed since',
  ].filter(reason => reason !== false);
  return (
    <Callout tone="warn">
      Recorded is {exactNanoUsd(BigInt(row.cost_nanousd ?? 0))}:{' '}
      {exactNanoUsd(difference < 0n ? -difference : difference)} {difference > 0n ? 'more' : 'less'} than
      these prices give. That may be {reasons.join(', or ')}. What is recorded was computed with configuration{' '}
      {row.epoch} and does not change.
    </Callout>
  );
}
