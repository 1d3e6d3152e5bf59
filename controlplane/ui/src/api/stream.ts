import { useEffect, useRef, useState } from 'react';

/** How a stream is: `waiting` before its first answer, `open`, `lost` while another attempt is due, `paused` while nobody looks. */
export type StreamState = 'waiting' | 'open' | 'lost' | 'paused';

/** What an event of a name does; the data is parsed JSON of the shape that the route's description states. */
export type StreamHandlers = Record<string, (data: unknown) => void>;

/** Milliseconds before attempt `attempt` (from 0): doubled each time, at most half a minute. */
export function reconnectDelay(attempt: number): number {
  return Math.min(1_000 * 2 ** Math.min(attempt, 10), 30_000);
}

/** The data of an event; `undefined` if it is not JSON. */
export function eventData(text: unknown): unknown {
  if (typeof text !== 'string') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

interface Source {
  addEventListener(type: string, listener: (event: { data?: unknown }) => void): void;
  close(): void;
  readonly readyState: number;
}

/** What a stream needs of its surroundings, so that tests can stand in for a browser. */
export interface StreamHost {
  open(url: string): Source;
  later(run: () => void, ms: number): () => void;
}

const browser: StreamHost = {
  open: url => new EventSource(url),
  later: (run, ms) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

const CLOSED = 2;

/**
 * Reads server-sent events until the returned function is called. A browser gives up on a refusal (too many viewers, a
 * restart); here another attempt follows, later each time.
 */
export function readStream(
  url: string,
  handlers: StreamHandlers,
  onState: (state: StreamState) => void,
  host: StreamHost = browser,
): () => void {
  let source: Source | undefined;
  let cancel: (() => void) | undefined;
  let attempt = 0;
  let ended = false;
  const connect = () => {
    const opened = host.open(url);
    source = opened;
    opened.addEventListener('open', () => {
      if (ended) return;
      attempt = 0;
      onState('open');
    });
    opened.addEventListener('error', () => {
      if (ended) return;
      onState('lost');
      if (opened.readyState !== CLOSED) return;
      opened.close();
      cancel = host.later(connect, reconnectDelay(attempt));
      attempt += 1;
    });
    for (const [name, handle] of Object.entries(handlers)) {
      opened.addEventListener(name, event => {
        const data = eventData(event.data);
        if (!ended && data !== undefined) handle(data);
      });
    }
  };
  onState('waiting');
  connect();
  return () => {
    ended = true;
    cancel?.();
    source?.close();
  };
}

/**
 * A stream for as long as the component stands and somebody looks at the page: a hidden tab holds none. `handlers` may change between
 * renders; the stream is opened anew for another `url` only, and not at all for `null`.
 */
export function useStream(url: string | null, handlers: StreamHandlers): StreamState {
  const [state, setState] = useState<StreamState>('waiting');
  const latest = useRef(handlers);
  latest.current = handlers;
  const names = Object.keys(handlers).join(' ');
  useEffect(() => {
    if (url === null) return;
    let stop: (() => void) | undefined;
    const forward = Object.fromEntries(
      names.split(' ').map(name => [name, (data: unknown) => latest.current[name]?.(data)]),
    );
    const follow = () => {
      stop?.();
      stop = undefined;
      if (document.visibilityState === 'hidden') setState('paused');
      else stop = readStream(url, forward, setState);
    };
    follow();
    document.addEventListener('visibilitychange', follow);
    return () => {
      document.removeEventListener('visibilitychange', follow);
      stop?.();
    };
  }, [url, names]);
  return state;
}
