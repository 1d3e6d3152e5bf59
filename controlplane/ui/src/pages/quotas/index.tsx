import { Gauge } from 'lucide-react';
import { useApi, useMe } from '@/api';
import { EmptyState, ErrorState, Input, Page, Skeleton } from '@/kit';
import { useSearchState } from '@/kit/search';
import { defined, quotasOf } from './definitions';
import { Section } from './Section';
import type { Search } from './search';
import './quotas.css';

const snippet = `"quotas": {
  "daily:<user>": { "capacity": "$10.00", "rate": "$5.00/day" },
},
"grants": [
  { "src": ["*"], "capabilities": [{ "quotas": [{ "bucket": "daily:<user>" }] }] },
],`;

/** Quotas, one after the other, with the buckets of each: the fullest first. */
export default function QuotasPage() {
  const me = useMe();
  const [search, setSearch] = useSearchState<Search>();
  const admin = me.data?.role === 'admin';
  // Who may not read the configuration sees few buckets: these tell of which quotas they are.
  const config = useApi('/aperture/config', {}, { enabled: admin, staleTime: 60_000 });
  const some = useApi('/api/quotas', { query: { sort: 'used', limit: 200 } });
  const waiting = some.isPending || me.isPending || (admin && config.isPending);
  const quotas = quotasOf(
    defined(config.data?.config),
    [...(some.data?.quotas ?? [])].sort((a, b) => a.quota.localeCompare(b.quota)),
  );
  return (
    <Page
      title="Quotas"
      description="A bucket has a ceiling and is refilled all the time. A call takes what it costs from each bucket that counts for it, and is refused if one has not enough."
    >
      {some.error !== null && some.data === undefined ? (
        <ErrorState problem={some.error} onRetry={() => void some.refetch()} />
      ) : waiting ? (
        <div className="stack" aria-busy="true">
          <Skeleton height={120} />
          <Skeleton height={280} />
        </div>
      ) : quotas.length === 0 ? (
        <EmptyState icon={Gauge} title="No budget counts yet" snippet={snippet}>
          A bucket appears with the first call that it counts for. Define it, and name it in a grant, under
          Settings:
        </EmptyState>
      ) : (
        <>
          <Input
            type="search"
            className="quotas-search"
            aria-label="Search buckets"
            data-filter-text
            placeholder="Search buckets, such as a person"
            value={search.q ?? ''}
            onChange={event => setSearch({ q: event.target.value || undefined }, { replace: true })}
          />
          {quotas.map(quota => (
            <Section key={quota} quota={quota} search={search} set={setSearch} admin={admin} />
          ))}
        </>
      )}
    </Page>
  );
}
