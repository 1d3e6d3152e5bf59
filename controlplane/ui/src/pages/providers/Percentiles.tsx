import { Tooltip } from '@/kit';
import { milliseconds } from '@/kit/format';
import './providers.css';

export interface PercentilesProps {
  /** What was measured: `First byte`. */
  label: string;
  value: { p50: number; p95: number; p99: number } | null;
}

/** How long it took: half of the requests, 95 of 100, 99 of 100, as marks on one line. */
export function Percentiles({ label, value }: PercentilesProps) {
  if (value === null) {
    return (
      <div className="percentiles">
        <span className="percentiles-label">{label}</span>
        <span className="faint">no answers to measure</span>
      </div>
    );
  }
  const marks = [
    ['p50', 'half', value.p50],
    ['p95', '95 of 100', value.p95],
    ['p99', '99 of 100', value.p99],
  ] as const;
  return (
    <div className="percentiles">
      <span className="percentiles-label">{label}</span>
      {marks.map(([name, part, ms]) => (
        <Tooltip
          key={name}
          content={`${label}: ${part} of the answers took at most ${Math.round(ms).toLocaleString('en')} ms.`}
        >
          <span className="percentile" tabIndex={0}>
            <span className="percentile-name">{name}</span> {milliseconds(ms)}
          </span>
        </Tooltip>
      ))}
    </div>
  );
}
