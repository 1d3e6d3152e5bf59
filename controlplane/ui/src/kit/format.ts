// Figures as people read them. What is not known stays unknown: no function here makes a 0 of it.

/** What stands where nothing is known. */
export const UNKNOWN = 'unknown';

type Maybe = number | null | undefined;

const known = (value: Maybe): value is number => typeof value === 'number' && Number.isFinite(value);

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** `12,345`. */
export const count = (value: Maybe): string => (known(value) ? whole.format(value) : UNKNOWN);

/** `1.2M`, `940`, `12.3k`: three digits that count. */
export function compact(value: Maybe): string {
  if (!known(value)) return UNKNOWN;
  const size = Math.abs(value);
  for (const [unit, name] of [
    [1e12, 'T'],
    [1e9, 'B'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (size >= unit * 0.9995) return `${digits(value / unit)}${name}`;
  }
  return Number.isInteger(value) ? String(value) : digits(value);
}

function digits(value: number): string {
  const size = Math.abs(value);
  const fraction = size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  return trim(value.toFixed(fraction));
}

const trim = (text: string): string => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);

const NANO = 1_000_000_000;

/** Nanodollars: `$1.23`, `$1,234`, `$0.0042`, `<$0.0001`. */
export function money(nanousd: Maybe): string {
  if (!known(nanousd)) return UNKNOWN;
  if (nanousd === 0) return '$0';
  const sign = nanousd < 0 ? '−' : '';
  const dollars = Math.abs(nanousd) / NANO;
  if (dollars < 0.0001) return `${sign}<$0.0001`;
  if (dollars < 0.1) return `${sign}$${trim(dollars.toFixed(4))}`;
  if (dollars < 1000) return `${sign}$${dollars.toFixed(2)}`;
  if (dollars < 100_000) return `${sign}$${whole.format(dollars)}`;
  return `${sign}$${compact(dollars)}`;
}

/** All digits of an amount: `$0.000840000`. */
export function exactMoney(nanousd: Maybe): string {
  if (!known(nanousd)) return UNKNOWN;
  const amount = BigInt(Math.round(Math.abs(nanousd)));
  const billion = BigInt(NANO);
  const fraction = (amount % billion).toString().padStart(9, '0');
  return `${nanousd < 0 ? '−' : ''}$${(amount / billion).toLocaleString('en-US')}.${fraction}`;
}

/** Microseconds: `820 µs`, `42 ms`, `1.24 s`, `3 min 5 s`, `2 h 10 min`. */
export const micros = (us: Maybe): string =>
  us === 0 ? '0 ms' : known(us) ? milliseconds(us / 1000) : UNKNOWN;

/** Milliseconds, as `micros`; clocks of whole milliseconds say 0 of what took less than one. */
export function milliseconds(ms: Maybe): string {
  if (!known(ms)) return UNKNOWN;
  if (ms === 0) return '<1 ms';
  if (Math.abs(ms) < 1) return `${Math.round(ms * 1000)} µs`;
  if (Math.abs(ms) < 999.5) return `${digits(ms)} ms`;
  return seconds(ms / 1000);
}

/** Seconds, as `micros`; also days. */
export function seconds(s: Maybe): string {
  if (!known(s)) return UNKNOWN;
  if (s < 59.95) return `${digits(s)} s`;
  const all = Math.round(s);
  if (all < 3600) return pair(Math.floor(all / 60), 'min', all % 60, 's');
  if (all < 86_400) return pair(Math.floor(all / 3600), 'h', Math.floor((all % 3600) / 60), 'min');
  return pair(Math.floor(all / 86_400), 'd', Math.floor((all % 86_400) / 3600), 'h');
}

const pair = (a: number, first: string, b: number, second: string): string =>
  b === 0 ? `${a} ${first}` : `${a} ${first} ${b} ${second}`;

/** `1.4 MB`, powers of ten. */
export function bytes(value: Maybe): string {
  if (!known(value)) return UNKNOWN;
  for (const [unit, name] of [
    [1e12, 'TB'],
    [1e9, 'GB'],
    [1e6, 'MB'],
    [1e3, 'kB'],
  ] as const) {
    if (Math.abs(value) >= unit) return `${digits(value / unit)} ${name}`;
  }
  return `${Math.round(value)} B`;
}

/** A share from 0 to 1: `12.3 %`; `<0.1 %` for what is there and small. */
export function percent(share: Maybe): string {
  if (!known(share)) return UNKNOWN;
  if (share > 0 && share < 0.0005) return '<0.1 %';
  if (share < 1 && share > 0.9995) return '>99.9 %';
  return `${trim((share * 100).toFixed(1))} %`;
}

/** A part of a whole as a share; unknown where there is no whole. */
export const share = (part: Maybe, all: Maybe): number | null =>
  known(part) && known(all) && all !== 0 ? part / all : null;

/** A moment in the viewer's zone: `22 Nov, 16:04:31`, with the year if it is another. */
export function dateTime(time: string | number | Date, now = new Date()): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  const year = date.getFullYear() === now.getFullYear() ? undefined : 'numeric';
  const day = date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year });
  return `${day}, ${date.toLocaleTimeString('en-GB')}`;
}

/** The same in UTC, whole: `2026-11-22 15:04:31.120 UTC`. */
export function utc(time: string | number | Date): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime())
    ? UNKNOWN
    : `${date.toISOString().replace('T', ' ').replace('Z', '')} UTC`;
}

/** `now`, `3 min ago`, `in 2 h`; from a week on the date. */
export function ago(time: string | number | Date, nowMs: number): string {
  const at = new Date(time).getTime();
  if (Number.isNaN(at)) return UNKNOWN;
  const distance = Math.abs(nowMs - at) / 1000;
  if (distance < 5) return 'now';
  if (distance >= 7 * 86_400) return dateTime(at, new Date(nowMs));
  const [size, unit] =
    distance < 60
      ? [distance, 's']
      : distance < 3600
        ? [distance / 60, 'min']
        : distance < 86_400
          ? [distance / 3600, 'h']
          : [distance / 86_400, 'd'];
  const text = `${Math.floor(size)} ${unit}`;
  return at <= nowMs ? `${text} ago` : `in ${text}`;
}
