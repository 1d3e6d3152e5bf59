import type { ReactNode } from 'react';
import { exact } from './Exact';

export interface StatProps {
  label: string;
  value: ReactNode;
  /** What it counts, or how it compares. */
  hint?: ReactNode;
  /** A small chart under it. */
  chart?: ReactNode;
}

/** One figure that matters, in a `StatGrid`. */
export function Stat({ label, value, hint, chart }: StatProps) {
  return (
    <div className="stat" data-label={label}>
      <div className="stat-label">{label}</div>
      <div className="stat-value">{value}</div>
      {hint !== undefined && <div className="stat-hint">{hint}</div>}
      {chart}
    </div>
  );
}

export function StatGrid({ children }: { children: ReactNode }) {
  return (
    <div className="stat-grid" role="group" aria-label="Figures" {...exact}>
      {children}
    </div>
  );
}
