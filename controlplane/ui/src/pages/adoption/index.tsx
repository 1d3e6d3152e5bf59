import { Link } from '@tanstack/react-router';
import { useApi, useMe } from '@/api';
import { EmptyState, ErrorState, Page, Skeleton, TimeRangePicker } from '@/kit';
import { useTimeRange } from '@/kit/range';
import { useSearchState } from '@/kit/search';
import { offsetSeconds } from '../overview/useUsage';
import { Active } from './Active';
import { Distribution } from './Distribution';
import { People } from './People';
import { Popularity } from './Popularity';
import type { Search } from './search';
import './adoption.css';

/** Who uses the gateway, how many they are, how use is spread, and which models they prefer. For admins. */
export default function AdoptionPage() {
  const [search, set] = useSearchState<Search>();
  const me = useMe();
  const admin = me.data?.role === 'admin';
  const span = useTimeRange(search, '30d');
  const period = { since: span.since, until: span.until, offset_s: offsetSeconds(span.untilMs) };
  const adoption = useApi('/api/adoption', { query: period }, { enabled: admin, refetchInterval: 60_000 });
  if (me.data !== undefined && !admin) {
    return (
      <Page title="Adoption">
        <EmptyState title="This page is for admins" action={<Link to="/">Your own usage</Link>}>
          It compares people with each other. What you used yourself is on the overview.
        </EmptyState>
      </Page>
    );
  }
  const { data } = adoption;
  return (
    <Page
      title="Adoption"
      description="Who uses the gateway, how use is spread among them, and what they prefer."
      actions={
        <TimeRangePicker
          value={search}
          onChange={set}
          fallback="30d"
          ranges={['7d', '30d', '90d', 'custom']}
        />
      }
    >
      {data === undefined ? (
        adoption.isError ? (
          <ErrorState problem={adoption.error} onRetry={() => void adoption.refetch()} />
        ) : (
          <div className="stack" aria-busy="true">
            <Skeleton height={110} />
            <Skeleton height={300} />
            <Skeleton height={260} />
          </div>
        )
      ) : data.users.total === 0 ? (
        <EmptyState title="Nobody has called yet" action={<Link to="/connect">Connect a client</Link>}>
          People appear here with their first request: how many come back, how much they use, which models
          they prefer.
        </EmptyState>
      ) : (
        <>
          <Active data={data} />
          <div className="adoption-pair">
            <Distribution
              distribution={data.distribution}
              by={search.by ?? 'requests'}
              onBy={by => set({ by: by === 'requests' ? undefined : by })}
            />
            <Popularity models={data.models} active={data.users.active} span={span} />
          </div>
          <People period={period} search={search} set={set} />
        </>
      )}
    </Page>
  );
}
