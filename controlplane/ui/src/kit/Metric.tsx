import type { ReactNode } from 'react';
import { Skeleton } from './Skeleton';
import { Tooltip } from './Tooltip';
import './metric.css';

export interface MetricProps {
  label: string;
  /** `null`: not known. `undefined`: on its way. */
  value: string | null | undefined;
  unit?: string;
  /** A short line below: of what, or compared with what. */
  sub?: ReactNode;
  /** What it counts, exactly, and how it is known; on hover and focus. */
  about: ReactNode;
  tone?: 'bad' | 'warn';
}

/** A number that matters. Several stand in `Metrics`. */
export function Metric({ label, value, unit, sub, about, tone }: MetricProps) {
  return (
    <Tooltip content={about}>
      <div
        className="metric"
        tabIndex={0}
        role="group"
        aria-label={label}
        aria-busy={value === undefined || undefined}
      >
        <div className="metric-label">{label}</div>
        <div className="metric-value" data-tone={tone}>
          {value === undefined ? (
            <Skeleton width={72} height={24} />
          ) : (
            (value ?? <span className="faint">–</span>)
          )}
          {typeof value === 'string' && unit !== undefined && <small>{unit}</small>}
        </div>
        <div className="metric-sub">{sub}</div>
      </div>
    </Tooltip>
  );
}

/** Metrics beside each other, as many in a row as there is room for. */
export function Metrics({ children }: { children: ReactNode }) {
  return <div className="metrics">{children}</div>;
}
