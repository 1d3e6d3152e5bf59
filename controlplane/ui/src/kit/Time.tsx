import { useSyncExternalStore } from 'react';
import { ago, dateTime, utc } from './format';

export interface TimeProps {
  /** RFC 3339. */
  time: string | null | undefined;
  /** `3 min ago` instead of the moment. */
  relative?: boolean;
}

let now = Date.now();
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** One clock for all: a page of relative times has one timer. */
function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of listeners) each();
  }, 5000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The time of day in milliseconds, anew every five seconds. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

/** A moment in the viewer's zone; in UTC on hover. */
export function Time({ time, relative = false }: TimeProps) {
  return relative ? <Relative time={time} /> : <Absolute time={time} />;
}

function Absolute({ time }: { time: TimeProps['time'] }) {
  if (time === null || time === undefined) return <span className="faint">never</span>;
  return (
    <time className="nowrap" dateTime={time} title={utc(time)}>
      {dateTime(time)}
    </time>
  );
}

function Relative({ time }: { time: TimeProps['time'] }) {
  const present = useNow();
  if (time === null || time === undefined) return <span className="faint">never</span>;
  return (
    <time className="nowrap" dateTime={time} title={`${dateTime(time)}\n${utc(time)}`}>
      {ago(time, present)}
    </time>
  );
}
