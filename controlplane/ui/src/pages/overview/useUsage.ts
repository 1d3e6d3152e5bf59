import { useApi } from '@/api';
import type { TimeSpan } from '@/kit/range';

/** Lines of a stacked chart before the rest becomes one. */
const TOP = 7;
const EVERY_MS = 30_000;

/** Seconds east of UTC where the viewer's days begin, in whole hours as the gateway counts them. */
export function offsetSeconds(atMs: number): number {
  return -Math.round(new Date(atMs).getTimezoneOffset() / 60) * 3_600;
}

/** Usage over time by model, and what it adds up to. */
export function useSeries(span: TimeSpan, user: string | undefined, enabled: boolean) {
  return useApi(
    '/api/usage/series',
    {
      query: {
        step: span.step,
        split: 'model',
        since: span.since,
        until: span.until,
        user,
        top: TOP,
        offset_s: offsetSeconds(span.untilMs),
      },
    },
    { enabled, refetchInterval: EVERY_MS },
  );
}
