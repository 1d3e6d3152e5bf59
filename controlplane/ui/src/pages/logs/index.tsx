import { useCallback } from 'react';
import { useIsAdmin } from '@/api';
import { Page, Tabs } from '@/kit';
import { useTimeRange } from '@/kit/range';
import { useSearchState } from '@/kit/search';
import { FilterBar } from './FilterBar';
import { LiveTab } from './LiveTab';
import { RequestsTab } from './RequestsTab';
import { SearchTab } from './SearchTab';
import { SessionsTab } from './SessionsTab';
import type { Search } from './search';
import './common/logs.css';

const TABS = [
  { value: 'sessions', label: 'Sessions' },
  { value: 'requests', label: 'Requests' },
  { value: 'search', label: 'Search' },
  { value: 'live', label: 'Live' },
] as const;

/** The log: sessions, requests, what was said in them, and a live tail. */
export default function LogsPage() {
  const [search, setSearch] = useSearchState<Search>();
  const admin = useIsAdmin() === true;
  const span = useTimeRange(search, '24h');
  const tab = search.tab ?? 'sessions';
  const change = useCallback(
    (change: Partial<Search>, options?: { replace?: boolean }) => setSearch(change, options),
    [setSearch],
  );
  return (
    <Page
      title="Logs"
      filters={<FilterBar search={search} onChange={change} admin={admin} live={tab === 'live'} />}
    >
      <Tabs label="What is listed" tabs={TABS} value={tab} onChange={tab => change({ tab })}>
        {tab === 'sessions' && <SessionsTab search={search} span={span} admin={admin} onChange={change} />}
        {tab === 'requests' && <RequestsTab search={search} span={span} admin={admin} onClear={change} />}
        {tab === 'search' && <SearchTab search={search} span={span} admin={admin} onChange={change} />}
        {tab === 'live' && <LiveTab search={search} admin={admin} />}
      </Tabs>
    </Page>
  );
}
