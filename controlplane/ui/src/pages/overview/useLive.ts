import { useEffect, useRef, useState } from 'react';
import { apiUrl, type StreamState, useApi, useStream } from '@/api';
import { type Live, midnight, NOTHING, spendNow, withHistory, withNow } from './live';

/** How often the sum of the day is asked for again, so that what is counted up stays true. */
const BASE_MS = 60_000;

export interface LiveView {
  state: StreamState;
  live: Live;
  /** Nanodollars since local midnight, counted up; `null` while not known. */
  spentToday: number | null;
  /** Requests since midnight whose cost is not in it. */
  missing: number;
  /** The sum could not be had: it is unknown, and not on its way. */
  failed: boolean;
}

/** The live figures of somebody, or of everybody (`undefined`), for as long as the page is looked at. */
export function useLive(user: string | undefined, enabled: boolean): LiveView {
  const [live, setLive] = useState<Live>(NOTHING);
  const url = enabled ? apiUrl('/api/live', { query: { user } }) : null;
  const state = useStream(url, {
    history: data => setLive(before => withHistory(before, data)),
    now: data => setLive(before => withNow(before, data)),
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: somebody else's figures begin at nothing
  useEffect(() => setLive(NOTHING), [url]);

  const [since, setSince] = useState(() => midnight(Date.now()));
  useEffect(() => {
    const timer = setInterval(() => setSince(midnight(Date.now())), 5_000);
    return () => clearInterval(timer);
  }, []);
  const today = useApi(
    '/api/usage',
    { query: { by: 'provider', since, user } },
    { enabled, refetchInterval: BASE_MS, staleTime: 0, keepPrevious: false },
  );
  const groups = today.data?.groups;
  const sum = groups?.reduce((all, group) => all + group.cost_nanousd, 0);
  const missing = groups?.reduce((all, group) => all + group.unpriced + group.unknown, 0) ?? 0;

  // How much had been seen when the sum arrived.
  const seen = useRef(live.seenNanousd);
  seen.current = live.seenNanousd;
  const [base, setBase] = useState<{ nanousd: number; seenThen: number }>();
  const arrived = today.dataUpdatedAt;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a sum that arrives again with the same value is a new base
  useEffect(() => {
    setBase(sum === undefined ? undefined : { nanousd: sum, seenThen: seen.current });
  }, [sum, arrived]);

  return { state, live, spentToday: spendNow(base, live.seenNanousd), missing, failed: today.isError };
}
