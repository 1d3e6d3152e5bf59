import { useApi } from '@/api';
import { count } from '@/kit/format';

const HEIGHT = 24;

/** Requests of the last hour, a bar a minute; failed ones in red. */
export function HourBars({ id }: { id: string }) {
  const detail = useApi(
    '/api/providers/{id}',
    { path: { id } },
    { refetchInterval: 30_000, staleTime: 20_000 },
  );
  const minutes = detail.data?.minutes;
  if (minutes === undefined) return <span className="hour-bars" aria-busy={detail.isPending || undefined} />;
  const most = minutes.reduce((all, minute) => Math.max(all, minute.requests), 0);
  const sum = minutes.reduce((all, minute) => all + minute.requests, 0);
  const failed = minutes.reduce((all, minute) => all + minute.errors, 0);
  const scale = HEIGHT / Math.max(most, 4);
  return (
    <svg
      className="hour-bars"
      viewBox={`0 0 ${minutes.length} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`Last hour: ${count(sum)} requests, ${count(failed)} failed`}
    >
      <title>{`Last hour: ${count(sum)} requests, ${count(failed)} failed`}</title>
      {minutes.map((minute, at) => {
        const whole = minute.requests > 0 ? Math.max(1.5, minute.requests * scale) : 0.75;
        const bad = Math.min(whole, minute.errors > 0 ? Math.max(1.5, minute.errors * scale) : 0);
        return (
          <g key={minute.time}>
            <rect
              className={minute.requests > 0 ? 'seconds-bar' : 'seconds-none'}
              x={at}
              y={HEIGHT - whole}
              width={0.72}
              height={whole - bad}
            />
            {bad > 0 && <rect className="seconds-failed" x={at} y={HEIGHT - bad} width={0.72} height={bad} />}
          </g>
        );
      })}
    </svg>
  );
}
