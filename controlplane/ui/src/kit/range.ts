import { useEffect, useMemo, useState } from 'react';
import { oneOf } from './search';

/** Ranges of time that filters offer; `custom` goes with `since` and `until`, `live` moves along. */
export const RANGES = ['live', '1h', '24h', '7d', '30d', '90d', 'custom'] as const;
export type Range = (typeof RANGES)[number];

/** The search parameter `range`. */
export const rangeParam = oneOf(RANGES);

/** How a range is split into points. */
export type Step = 'minute' | 'hour' | 'day';

const HOUR = 3_600_000;
const LENGTHS: Record<Exclude<Range, 'custom'>, number> = {
  live: HOUR / 4,
  '1h': HOUR,
  '24h': 24 * HOUR,
  '7d': 7 * 24 * HOUR,
  '30d': 30 * 24 * HOUR,
  '90d': 90 * 24 * HOUR,
};
const LABELS: Record<Range, string> = {
  live: 'Live',
  '1h': 'Last hour',
  '24h': 'Last 24 hours',
  '7d': 'Last 7 days',
  '30d': 'Last 30 days',
  '90d': 'Last 90 days',
  custom: 'Custom',
};

/** What a range is called. */
export const rangeLabel = (range: Range): string => LABELS[range];

export interface TimeSpan {
  range: Range;
  /** RFC 3339, UTC. */
  since: string;
  /** RFC 3339, UTC; excluded. */
  until: string;
  sinceMs: number;
  untilMs: number;
  step: Step;
  label: string;
}

export interface RangeSearch {
  range?: Range;
  since?: string;
  until?: string;
}

/** The step that makes 24 to some hundred points of a length. */
export function stepFor(lengthMs: number): Step {
  if (lengthMs <= 6 * HOUR) return 'minute';
  return lengthMs <= 10 * 24 * HOUR ? 'hour' : 'day';
}

const LENGTH_OF: Record<Step, number> = { minute: 60_000, hour: HOUR, day: 24 * HOUR };

/** Milliseconds of a step. */
export const stepMs = (step: Step): number => LENGTH_OF[step];

/** The span that the address and the clock mean. A custom range that makes no sense is `fallback`. */
export function timeSpan(
  search: RangeSearch,
  nowMs: number,
  fallback: Exclude<Range, 'custom'> = '7d',
): TimeSpan {
  const range =
    search.range ?? (search.since !== undefined || search.until !== undefined ? 'custom' : fallback);
  if (range === 'custom') {
    const untilMs = search.until === undefined ? nowMs : Date.parse(search.until);
    const sinceMs = search.since === undefined ? untilMs - LENGTHS[fallback] : Date.parse(search.since);
    if (Number.isFinite(sinceMs) && Number.isFinite(untilMs) && sinceMs < untilMs) {
      return span('custom', sinceMs, untilMs);
    }
    return timeSpan({ range: fallback }, nowMs, fallback);
  }
  const step = LENGTH_OF[stepFor(LENGTHS[range])];
  // Ends at the next whole step, so that an answer can be kept for as long as the step lasts.
  const untilMs =
    Math.floor(nowMs / Math.min(step, 60_000)) * Math.min(step, 60_000) + Math.min(step, 60_000);
  return span(range, untilMs - LENGTHS[range], untilMs);
}

function span(range: Range, sinceMs: number, untilMs: number): TimeSpan {
  return {
    range,
    since: new Date(sinceMs).toISOString(),
    until: new Date(untilMs).toISOString(),
    sinceMs,
    untilMs,
    step: stepFor(untilMs - sinceMs),
    label: LABELS[range],
  };
}

/** The span of the page's filter; moves along every minute, live every five seconds' query is the page's matter. */
export function useTimeRange(search: RangeSearch, fallback: Exclude<Range, 'custom'> = '7d'): TimeSpan {
  const [minute, setMinute] = useState(() => Math.floor(Date.now() / 60_000));
  useEffect(() => {
    const timer = setInterval(() => setMinute(Math.floor(Date.now() / 60_000)), 10_000);
    return () => clearInterval(timer);
  }, []);
  const { range, since, until } = search;
  return useMemo(
    () => timeSpan({ range, since, until }, minute * 60_000, fallback),
    [range, since, until, minute, fallback],
  );
}
