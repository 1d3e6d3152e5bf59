import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { exact } from './Exact';
import { heights } from './series';

export interface BarItem {
  key: string;
  label: ReactNode;
  value: number;
  /** The value as it is read. */
  text: ReactNode;
  /** Where it leads, with parameters. */
  to?: string;
  params?: Record<string, string>;
  search?: Record<string, unknown>;
}

/** The largest of something, each with a bar by its share of the largest. The keyboard stops at each that leads somewhere, else at the list. */
export function BarList({ items }: { items: readonly BarItem[] }) {
  const shares = heights(items.map(item => item.value));
  return (
    <ol className="bar-list" {...(items.some(item => item.to === undefined) ? exact : {})}>
      {items.map((item, index) => (
        <li key={item.key} data-exact="">
          <div className="bar-line">
            <span className="bar-label">
              {item.to === undefined ? (
                item.label
              ) : (
                <Link to={item.to as never} params={item.params as never} search={item.search as never}>
                  {item.label}
                </Link>
              )}
            </span>
            <span className="figure">{item.text}</span>
          </div>
          <div className="bar-track" aria-hidden>
            <div className="bar-fill" style={{ width: `${(shares[index] ?? 0) * 100}%` }} />
          </div>
        </li>
      ))}
    </ol>
  );
}

export interface Bin {
  /** What falls into it: `10–99`. */
  label: string;
  value: number;
  /** The value as it is read. */
  text: string;
}

/** How many of something there are of each size. */
export function Histogram({
  label,
  bins,
  height = 160,
}: {
  label: string;
  bins: readonly Bin[];
  height?: number;
}) {
  const shares = heights(bins.map(bin => bin.value));
  return (
    <ol className="histogram" aria-label={label} style={{ height }} tabIndex={0}>
      {bins.map((bin, index) => (
        <li key={bin.label} title={`${bin.label}: ${bin.text}`}>
          <span className="histogram-place">
            <span className="histogram-value figure">{bin.text}</span>
            {/* Of what the figure above leaves: else the highest bars would all be as high as there is room. */}
            <span
              className="histogram-bar"
              style={{ height: `calc((100% - 18px) * ${shares[index] ?? 0})` }}
              aria-hidden
            />
          </span>
          <span className="histogram-label">{bin.label}</span>
        </li>
      ))}
    </ol>
  );
}

export interface RingProps {
  /** Of a hundred, used up; more than a hundred is a debt. `null`: not known. */
  percent: number | null;
  label: string;
  /** Pixels (default 44). */
  size?: number;
}

/** How much of a budget is used. */
export function Ring({ percent, label, size = 44 }: RingProps) {
  const radius = 16;
  const around = 2 * Math.PI * radius;
  const used = Math.min(Math.max(percent ?? 0, 0), 100) / 100;
  const tone = percent === null ? 'unknown' : percent >= 100 ? 'bad' : percent >= 80 ? 'warn' : 'good';
  return (
    <svg
      className={`ring ring-${tone}`}
      width={size}
      height={size}
      viewBox="0 0 40 40"
      role="img"
      aria-label={label}
    >
      <title>{label}</title>
      <circle className="ring-track" cx="20" cy="20" r={radius} />
      <circle
        className="ring-used"
        cx="20"
        cy="20"
        r={radius}
        strokeDasharray={`${around * used} ${around}`}
        transform="rotate(-90 20 20)"
      />
      <text x="20" y="20" className="ring-text">
        {percent === null ? '?' : `${percent}`}
      </text>
    </svg>
  );
}

/** A line of values without axes. Gaps where nothing is known. */
export function Sparkline({
  values,
  label,
  width = 120,
  height = 28,
}: {
  values: readonly (number | null)[];
  label: string;
  width?: number;
  height?: number;
}) {
  const most = Math.max(1e-9, ...values.map(value => value ?? 0));
  const x = (index: number) => (values.length < 2 ? 0 : (index / (values.length - 1)) * width);
  const y = (value: number) => height - 2 - (value / most) * (height - 4);
  let pen = 'M';
  let path = '';
  values.forEach((value, index) => {
    if (value === null) pen = 'M';
    else {
      path += `${pen}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = 'L';
    }
  });
  return (
    <svg
      className="sparkline"
      viewBox={`0 0 ${width} ${height}`}
      width={width}
      height={height}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <path d={path} />
    </svg>
  );
}
