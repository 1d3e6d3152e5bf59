/** What passed in one second. */
export interface Second {
  time: string;
  requests: number;
  errors: number;
  input: number;
  output: number;
  cost_nanousd: number;
}

/** How it is now, as the stream says every second; `null`: not known, or not the viewer's to know. */
export interface Now {
  time: string;
  requests_per_s: number;
  errors_per_s: number;
  input_per_s: number;
  output_per_s: number;
  cost_nanousd_per_h: number | null;
  in_flight: number | null;
  streams: number | null;
}

export interface Live {
  /** The last two minutes, oldest first. */
  seconds: readonly Second[];
  now: Now | null;
  /** Cost that passed while this was watched, in nanodollars: what a sum that was asked for meanwhile is counted up by. */
  seenNanousd: number;
  /** Whether there was any request since somebody looks, or in the two minutes before. */
  any: boolean;
}

/** Seconds that are kept and drawn. */
export const SECONDS = 120;

export const NOTHING: Live = { seconds: [], now: null, seenNanousd: 0, any: false };

type Bag = Record<string, unknown>;
const isBag = (value: unknown): value is Bag => typeof value === 'object' && value !== null;
const amount = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;
const maybe = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null;

/** A second of the stream; `undefined` if it has no time. */
export function readSecond(data: unknown): Second | undefined {
  if (!isBag(data) || typeof data.time !== 'string' || Number.isNaN(Date.parse(data.time))) return undefined;
  return {
    time: data.time,
    requests: amount(data.requests),
    errors: amount(data.errors),
    input: amount(data.input),
    output: amount(data.output),
    cost_nanousd: amount(data.cost_nanousd),
  };
}

/** After event `history`: what was seen so far stays counted. */
export function withHistory(live: Live, data: unknown): Live {
  const list = isBag(data) && Array.isArray(data.seconds) ? data.seconds : [];
  const seconds = list.map(readSecond).filter(second => second !== undefined);
  return {
    ...live,
    seconds: seconds.slice(-SECONDS),
    any: live.any || seconds.some(({ requests }) => requests > 0),
  };
}

/** After event `now`. A second that comes again replaces itself. */
export function withNow(live: Live, data: unknown): Live {
  if (!isBag(data) || typeof data.time !== 'string') return live;
  const now: Now = {
    time: data.time,
    requests_per_s: amount(data.requests_per_s),
    errors_per_s: amount(data.errors_per_s),
    input_per_s: amount(data.input_per_s),
    output_per_s: amount(data.output_per_s),
    cost_nanousd_per_h: maybe(data.cost_nanousd_per_h),
    in_flight: maybe(data.in_flight),
    streams: maybe(data.streams),
  };
  const last = readSecond(data.last);
  if (last === undefined) return { ...live, now };
  const before = live.seconds.find(second => second.time === last.time);
  const seconds = [...live.seconds.filter(second => second.time !== last.time), last].slice(-SECONDS);
  const more = Math.max(0, last.cost_nanousd - (before?.cost_nanousd ?? 0));
  return { seconds, now, seenNanousd: live.seenNanousd + more, any: live.any || last.requests > 0 };
}

/** One bar a second, the newest last; `null` where nothing is known. */
export function slots(seconds: readonly Second[]): (Second | null)[] {
  const newest = seconds.at(-1);
  const bars: (Second | null)[] = new Array(SECONDS).fill(null);
  if (newest === undefined) return bars;
  const end = Date.parse(newest.time);
  for (const second of seconds) {
    const back = Math.round((end - Date.parse(second.time)) / 1_000);
    if (back >= 0 && back < SECONDS) bars[SECONDS - 1 - back] = second;
  }
  return bars;
}

/**
 * Spend today: the sum that the gateway answered, and what passed since. `seenThen` is how much had been seen when that sum arrived, so
 * that no clock has to be compared with another.
 */
export function spendNow(
  base: { nanousd: number; seenThen: number } | undefined,
  seenNanousd: number,
): number | null {
  return base === undefined ? null : base.nanousd + Math.max(0, seenNanousd - base.seenThen);
}

/** Local midnight before a moment, as RFC 3339 in UTC. */
export function midnight(nowMs: number): string {
  const day = new Date(nowMs);
  day.setHours(0, 0, 0, 0);
  return day.toISOString();
}

/** A rate as text: `0`, `0.3`, `12.5`, `340`. */
export function perSecond(rate: number): string {
  if (rate > 0 && rate < 0.05) return '<0.1';
  return rate < 99.95 ? rate.toFixed(1).replace(/\.0$/, '') : Math.round(rate).toLocaleString('en');
}

/** Failed requests of the last two minutes, in words. */
export function errorsOf(seconds: readonly Second[]): string {
  const failed = seconds.reduce((sum, second) => sum + second.errors, 0);
  return failed === 0 ? 'none in 2 min' : `${failed.toLocaleString('en')} in 2 min`;
}
