/**
 * The time axis of a session. Sessions last hours of which minutes are work: stretches in which nothing runs are drawn
 * narrow and marked, so that requests of seconds can be seen beside pauses of hours.
 */

export interface Span {
  from: number;
  to: number;
}

export interface Break extends Span {
  /** Where it stands, in parts of the whole width. */
  at: number;
  width: number;
}

export interface Timescale {
  from: number;
  to: number;
  /** Where a time stands, from 0 to 1. */
  place(time: number): number;
  /** The pauses that are drawn narrow. */
  breaks: Break[];
  /** Marks of times, with their places. */
  ticks: { time: number; at: number }[];
}

/** A pause is drawn narrow if it is longer than this part of all work together. */
const PAUSE_PART = 0.15;
/** How wide a narrow pause is, as part of all work together; all pauses together take at most `PAUSES_PART`. */
const NARROW_PART = 0.04;
const PAUSES_PART = 0.35;
const TICK_STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map(seconds => seconds * 1000),
  ...[1, 2, 5, 10, 15, 30].map(minutes => minutes * 60_000),
  ...[1, 2, 3, 6, 12, 24, 48, 168].map(hours => hours * 3_600_000),
];

/** Times in which something runs, in order and apart. */
export function union(spans: readonly Span[]): Span[] {
  const sorted = spans.filter(span => span.to >= span.from).sort((a, b) => a.from - b.from);
  const out: Span[] = [];
  for (const span of sorted) {
    const last = out.at(-1);
    if (last !== undefined && span.from <= last.to) last.to = Math.max(last.to, span.to);
    else out.push({ ...span });
  }
  return out;
}

/** The axis for what runs in `spans`, in any unit of time that is about milliseconds. */
export function timescale(spans: readonly Span[]): Timescale {
  const busy = union(spans);
  const first = busy[0];
  const last = busy.at(-1);
  if (first === undefined || last === undefined) {
    return { from: 0, to: 0, place: () => 0, breaks: [], ticks: [] };
  }
  const [from, to] = [first.from, last.to];
  const work = Math.max(
    busy.reduce((sum, span) => sum + span.to - span.from, 0),
    (to - from) / 1000,
    1,
  );
  const pauses = busy.slice(1).map((span, index) => ({ from: busy[index]?.to ?? span.from, to: span.from }));
  const narrow = pauses.filter(pause => pause.to - pause.from > work * PAUSE_PART);
  const width = Math.min(work * NARROW_PART, (work * PAUSES_PART) / Math.max(narrow.length, 1));
  // Pieces of the axis: real ones as long as they take, narrow ones of the same width each.
  const pieces: { from: number; to: number; length: number; start: number; narrow: boolean }[] = [];
  let at = from;
  let start = 0;
  const push = (until: number, isNarrow: boolean) => {
    const length = isNarrow ? width : until - at;
    if (until > at) pieces.push({ from: at, to: until, length, start, narrow: isNarrow });
    start += until > at ? length : 0;
    at = until;
  };
  for (const pause of narrow) {
    push(pause.from, false);
    push(pause.to, true);
  }
  push(to, false);
  const total = Math.max(start, 1e-9);
  const place = (time: number): number => {
    if (time <= from || pieces.length === 0) return 0;
    const piece = pieces.find(piece => time <= piece.to);
    if (piece === undefined) return 1;
    return (piece.start + ((time - piece.from) / (piece.to - piece.from)) * piece.length) / total;
  };
  const breaks = pieces
    .filter(piece => piece.narrow)
    .map(({ from, to, start, length }) => ({ from, to, at: start / total, width: length / total }));
  const step = TICK_STEPS.find(step => total / step <= 6) ?? 604_800_000;
  const ticks = pieces
    .filter(piece => !piece.narrow)
    .flatMap(piece => {
      const out: { time: number; at: number }[] = [];
      for (let time = Math.ceil(piece.from / step) * step; time < piece.to && out.length < 24; time += step) {
        out.push({ time, at: place(time) });
      }
      return out;
    });
  return { from, to, place, breaks, ticks: spread(ticks) };
}

/** Leaves out marks that would stand on each other. */
function spread(ticks: { time: number; at: number }[]): { time: number; at: number }[] {
  const out: { time: number; at: number }[] = [];
  for (const tick of ticks) {
    if (tick.at - (out.at(-1)?.at ?? -1) >= 0.09) out.push(tick);
  }
  return out;
}

/** Puts what overlaps into rows of its own: the row of each, and how many there are. */
export function rows(spans: readonly Span[]): { row: number[]; count: number } {
  const ends: number[] = [];
  const order = spans.map((_, index) => index).sort((a, b) => (spans[a]?.from ?? 0) - (spans[b]?.from ?? 0));
  const row = new Array<number>(spans.length).fill(0);
  for (const index of order) {
    const span = spans[index];
    if (span === undefined) continue;
    const free = ends.findIndex(end => end <= span.from);
    const chosen = free === -1 ? ends.length : free;
    ends[chosen] = span.to;
    row[index] = chosen;
  }
  return { row, count: Math.max(ends.length, 1) };
}
