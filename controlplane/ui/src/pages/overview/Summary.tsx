import { type DataOf, useApi } from '@/api';
import { Card, Metric, Metrics } from '@/kit';
import { costOf } from '@/kit/cost';
import { compact, count, exactMoney, money, percent, share } from '@/kit/format';
import { cacheSaving } from './saving';

type Series = DataOf<'/api/usage/series'>;
type ByModel = DataOf<'/api/usage'>;

/** What the range adds up to. */
export function Summary({
  series,
  byModel,
  label,
  failed,
}: {
  series: Series | undefined;
  byModel: ByModel | undefined;
  /** What the range is called. */
  label: string;
  /** The figures could not be had: they are unknown, and not on their way. */
  failed: boolean;
}) {
  const totals = series?.total.totals;
  const missing = totals === undefined ? 0 : totals.unpriced + totals.unknown;
  const errors = share(totals?.errors, totals?.requests);
  const cached = share(totals?.cached_read, totals?.input);
  const saving = useSaving(byModel);
  const known = <T,>(show: (sums: NonNullable<typeof totals>) => T) =>
    totals === undefined ? (failed ? null : undefined) : show(totals);
  return (
    <Card title={label}>
      <Metrics>
        <Metric
          label="Spend"
          value={known(sums => {
            const spent = costOf(sums).nanousd;
            return spent === null ? null : money(spent);
          })}
          sub={known(() => (missing > 0 ? `without ${compact(missing)} requests` : 'all requests priced'))}
          about={
            totals === undefined
              ? 'Sum of known costs.'
              : `Sum of known costs, exactly ${exactMoney(totals.cost_nanousd)}. ${count(totals.unpriced)} requests have no price, of ${count(totals.unknown)} nobody said what they used; they are not in it.`
          }
        />
        <Metric
          label="Requests"
          value={known(sums => compact(sums.requests))}
          sub={known(() => (errors === null ? '' : `${percent(errors)} failed`))}
          about={
            known(
              sums =>
                `${count(sums.requests)} requests, ${count(sums.errors)} of them failed: answered with 400 or more, failed at the provider, or aborted.`,
            ) ?? ''
          }
        />
        <Metric
          label="Model tokens"
          value={known(sums => compact(sums.input + sums.output))}
          sub={known(sums => `${compact(sums.input)} in, ${compact(sums.output)} out`)}
          about={
            known(
              sums =>
                `${count(sums.input)} in, ${count(sums.output)} out; of these ${count(sums.reasoning)} reasoning. As providers reported them.`,
            ) ?? ''
          }
        />
        <Metric
          label="Read from cache"
          value={known(() => (cached === null ? null : percent(cached)))}
          sub="of input"
          about={
            known(
              sums =>
                `${count(sums.cached_read)} of ${count(sums.input)} input tokens were read from providers' caches, ${count(sums.cache_write)} were written to them.`,
            ) ?? ''
          }
        />
        {saving !== null && (
          <Metric
            label="Cache saved"
            value={money(saving.nanousd)}
            sub={saving.leftOut > 0 ? 'at least' : 'at present prices'}
            about={`${count(saving.tokens)} tokens at their price as input, less what reading them from a cache costs, by the prices in use now.${
              saving.leftOut > 0
                ? ` ${count(saving.leftOut)} cached tokens have no certain price and are left out.`
                : ''
            } What writing to caches cost more is not taken off.`}
          />
        )}
      </Metrics>
    </Card>
  );
}

/** What cache reads saved; `null` if that cannot be said. */
function useSaving(byModel: ByModel | undefined) {
  const cached = byModel?.groups.filter(group => group.cached_read > 0) ?? [];
  const models = useApi('/api/models', undefined, { enabled: cached.length > 0, staleTime: 60_000 });
  if (models.data === undefined) return null;
  const prices = new Map(
    models.data.models.map(({ model, providers }) => [model, providers.map(({ price }) => price)]),
  );
  return cacheSaving(
    cached.map(group => ({ model: group.key, cachedRead: group.cached_read })),
    prices,
  );
}
