import { describe, expect, it } from 'vitest';
import { eventData, readStream, reconnectDelay, type StreamHost } from './stream';

/** A browser that does what a test says. */
function pretend() {
  const opened: {
    url: string;
    readyState: number;
    listeners: Map<string, (event: { data?: unknown }) => void>;
  }[] = [];
  const timers: { run: () => void; ms: number }[] = [];
  const host: StreamHost = {
    open(url) {
      const source = {
        url,
        readyState: 0,
        listeners: new Map<string, (event: { data?: unknown }) => void>(),
        addEventListener(type: string, listener: (event: { data?: unknown }) => void) {
          source.listeners.set(type, listener);
        },
        close() {
          source.readyState = 2;
        },
      };
      opened.push(source);
      return source;
    },
    later(run, ms) {
      const timer = { run, ms };
      timers.push(timer);
      return () => {
        timers.splice(timers.indexOf(timer), 1);
      };
    },
  };
  const fire = (type: string, data?: unknown) => opened.at(-1)?.listeners.get(type)?.({ data });
  const refuse = () => {
    const source = opened.at(-1);
    if (source !== undefined) source.readyState = 2;
    fire('error');
  };
  return { host, opened, timers, fire, refuse };
}

describe('a stream', () => {
  it('hands events on and tells how it is', () => {
    const { host, fire } = pretend();
    const states: string[] = [];
    const got: unknown[] = [];
    readStream('/api/live', { now: data => got.push(data) }, state => states.push(state), host);
    fire('open');
    fire('now', '{"requests_per_s":3}');
    fire('now', 'not JSON');
    expect(states).toEqual(['waiting', 'open']);
    expect(got).toEqual([{ requests_per_s: 3 }]);
  });

  it('tries again after a refusal, later each time, and at once again after a success', () => {
    const { host, opened, timers, fire, refuse } = pretend();
    readStream('/api/live', {}, () => {}, host);
    refuse();
    expect(timers.map(timer => timer.ms)).toEqual([1_000]);
    timers.pop()?.run();
    refuse();
    expect(timers.map(timer => timer.ms)).toEqual([2_000]);
    timers.pop()?.run();
    fire('open');
    refuse();
    expect(timers.map(timer => timer.ms)).toEqual([1_000]);
    expect(opened).toHaveLength(3);
  });

  it('leaves what the browser mends by itself to the browser', () => {
    const { host, timers, fire } = pretend();
    const states: string[] = [];
    readStream('/api/live', {}, state => states.push(state), host);
    fire('error');
    expect(states.at(-1)).toBe('lost');
    expect(timers).toHaveLength(0);
  });

  it('is silent once it was ended', () => {
    const { host, opened, timers, fire, refuse } = pretend();
    const got: unknown[] = [];
    const end = readStream('/api/live', { now: data => got.push(data) }, () => {}, host);
    refuse();
    end();
    fire('now', '{}');
    expect(got).toEqual([]);
    expect(timers).toHaveLength(0);
    expect(opened.at(-1)?.readyState).toBe(2);
  });
});

describe('delays and data', () => {
  const check = (attempt: number, ms: number) => expect(reconnectDelay(attempt)).toBe(ms);
  it('doubles up to half a minute', () => {
    check(0, 1_000);
    check(3, 8_000);
    check(5, 30_000);
    check(5_000, 30_000);
  });

  it('reads JSON only', () => {
    expect(eventData('[1]')).toEqual([1]);
    expect(eventData('{')).toBeUndefined();
    expect(eventData(undefined)).toBeUndefined();
  });
});
