/**
 * The time of one request: waiting in the gateway, waiting for the first byte, the stream. What is not known of it makes a segment
 * that says so, never one of length 0.
 */

export interface Segment {
  key: 'gateway' | 'wait' | 'stream' | 'unknown';
  label: string;
  fromUs: number;
  toUs: number;
  /** What happens in it. */
  what: string;
}

export interface RequestTimes {
  queued_us?: number | null;
  ttft_us: number | null;
  duration_us: number;
}

const WHAT = {
  gateway:
    'From the head of the request to its being written to the provider: its body, budgets, guardrails and hooks.',
  wait: 'Written to the provider, until the first byte of the answer.',
  both: 'In the gateway and at the provider, until the first byte of the answer; how it splits is not known.',
  stream: 'From the first byte of the answer to its end.',
  unsent: 'Until its end in the gateway: it was not sent to a provider, or when is not known.',
  silent: 'Written to the provider, until the end without a byte of an answer.',
};

/** The segments of a request, one after the other, without gaps, as long as it took. */
export function segments({
  queued_us: queued,
  ttft_us: ttft,
  duration_us: duration,
}: RequestTimes): Segment[] {
  const end = Math.max(0, duration);
  const inside = (value: number | null | undefined): number | null =>
    typeof value === 'number' && Number.isFinite(value) ? Math.min(Math.max(0, value), end) : null;
  const first = inside(ttft);
  // Clocks are read one after the other: what is sent cannot be later than what comes back.
  const sent =
    first === null ? inside(queued) : inside(queued) === null ? null : Math.min(inside(queued) ?? 0, first);
  const out: Segment[] = [];
  const put = (key: Segment['key'], label: string, fromUs: number, toUs: number, what: string) => {
    if (toUs > fromUs) out.push({ key, label, fromUs, toUs, what });
  };
  if (sent !== null) put('gateway', 'In the gateway', 0, sent, WHAT.gateway);
  if (first !== null) {
    if (sent === null) put('unknown', 'To first byte', 0, first, WHAT.both);
    else put('wait', 'Waiting for the provider', sent, first, WHAT.wait);
    put('stream', 'Answer', first, end, WHAT.stream);
  } else if (sent === null) {
    put('unknown', 'No answer', 0, end, WHAT.unsent);
  } else {
    put('wait', 'No answer came', sent, end, WHAT.silent);
  }
  return out;
}
