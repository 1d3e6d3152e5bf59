import { Card, Metric, Metrics } from '@/kit';
import { compact, count, money } from '@/kit/format';
import { errorsOf, perSecond, type Second } from './live';
import { SecondBars } from './SecondBars';
import type { LiveView } from './useLive';

const STATES = {
  waiting: 'Connecting',
  open: 'Live',
  lost: 'Connection lost, trying again',
  paused: 'Paused',
} as const;

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });

function caption(second: Second | null, peak: number): string {
  if (second === null) {
    return peak === 0 ? 'No requests in the last 2 minutes' : `Requests each second, at most ${peak}`;
  }
  const failed = second.errors > 0 ? `, ${second.errors} failed` : '';
  return `${clock.format(new Date(second.time))}: ${second.requests} ${second.requests === 1 ? 'request' : 'requests'}${failed}`;
}

/** What passes through the gateway at this moment, second by second. */
export function Now({ view, everybody }: { view: LiveView; everybody: boolean }) {
  const { state, live, spentToday, missing } = view;
  const { now, seconds } = live;
  // Nothing has come yet: it is on its way as long as the connection is not lost.
  const first = now === null && state !== 'lost' && state !== 'paused' ? undefined : null;
  return (
    <Card
      title="Now"
      actions={
        <span className="now-state" role="status">
          <span className="now-dot" data-state={state} aria-hidden />
          {STATES[state]}
        </span>
      }
    >
      <Metrics>
        <Metric
          label="Requests"
          value={now === null ? first : perSecond(now.requests_per_s)}
          unit="/s"
          sub={now?.in_flight == null ? 'mean of 10 s' : `${count(now.in_flight)} running`}
          about="Requests that ended, each second; mean of the last 10 seconds."
        />
        {everybody && (
          <Metric
            label="Streams"
            value={now === null ? first : now.streams === null ? null : count(now.streams)}
            sub="open answers"
            about="Answers that are being streamed at this moment, as the data plane counts them."
          />
        )}
        <Metric
          label="Model tokens"
          value={now === null ? first : compact(now.input_per_s + now.output_per_s)}
          unit="/s"
          sub={now === null ? '' : `${compact(now.input_per_s)} in, ${compact(now.output_per_s)} out`}
          about="Model tokens that providers reported, in and out, each second; mean of the last 10 seconds."
        />
        <Metric
          label="Errors"
          value={now === null ? first : perSecond(now.errors_per_s)}
          unit="/s"
          sub={errorsOf(seconds)}
          tone={now !== null && now.errors_per_s > 0 ? 'bad' : undefined}
          about="Requests answered with 400 or more, failed at the provider or aborted, each second; mean of the last 10 seconds."
        />
        <Metric
          label="Spend today"
          value={spentToday === null ? (view.failed ? null : undefined) : money(spentToday)}
          sub={now?.cost_nanousd_per_h == null ? '' : `${money(now.cost_nanousd_per_h)} an hour now`}
          about={`Known cost since midnight in your time zone, counted up as requests end and asked for again every minute.${
            missing > 0 ? ` ${count(missing)} requests have no known cost and are not in it.` : ''
          }`}
        />
      </Metrics>
      <SecondBars seconds={seconds} caption={caption} />
    </Card>
  );
}
