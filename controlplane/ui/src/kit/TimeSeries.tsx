import { Table2 } from 'lucide-react';
import { type KeyboardEvent, lazy, Suspense, useState } from 'react';
import { pointAfter } from './axis';
import { IconButton } from './IconButton';
import { Skeleton } from './Skeleton';
import { pointLabel, total, type Values } from './series';

// The chart library is a chunk of its own: pages show their figures before it is there.
const Plot = lazy(() => import('./TimePlot'));

export interface Line {
  label: string;
  values: Values;
  /** Of the palette, from 1; the place in the list if not given. 0: the grey of what is left. */
  color?: number;
}

export interface TimeSeriesProps {
  /** What is shown, for those who do not see it. */
  label: string;
  /** RFC 3339, in order. */
  times: readonly string[];
  series: readonly Line[];
  /** One on top of the other, as bars; lines if not. */
  stacked?: boolean;
  format: (value: number) => string;
  /** Pixels (default 200). */
  height?: number;
  /** Charts of the same group show the same moment when one of them is pointed at. */
  sync?: string;
  /** The legend tells sums over the whole time (default true); `false` where a sum makes no sense. */
  sums?: boolean;
}

export const colorOf = (line: Line, index: number): string =>
  line.color === 0 ? 'var(--series-rest)' : `var(--series-${(((line.color ?? index + 1) - 1) % 8) + 1})`;

/** Values over time, as a chart and, on demand, as a table. */
export function TimeSeries(props: TimeSeriesProps) {
  const { label, times, series, format, height = 200, sums = true } = props;
  const [asTable, setAsTable] = useState(false);
  const [at, setAt] = useState<number | null>(null);
  if (times.length === 0 || series.length === 0) {
    return (
      <div className="chart-empty" style={{ height }}>
        Nothing in this time
      </div>
    );
  }
  const step = Date.parse(times[1] ?? '') - Date.parse(times[0] ?? '') || 60_000;
  const moment = (index: number) => pointLabel(Date.parse(times[index] ?? ''), step);
  const said = (value: number | null | undefined) =>
    value === null || value === undefined ? 'unknown' : format(value);
  const told = (index: number) =>
    [moment(index), ...series.map(line => `${line.label} ${said(line.values[index])}`)].join(', ');
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    const next = pointAfter(at, event.key, times.length);
    if (next === undefined) return;
    event.preventDefault();
    setAt(next);
  };
  return (
    <figure className="chart">
      <figcaption className="chart-head">
        <ul className="chart-legend">
          {series.map((line, index) => (
            <li key={line.label}>
              <span className="chart-key" style={{ background: colorOf(line, index) }} aria-hidden />
              <bdi className="chart-name">{line.label}</bdi>
              {(at !== null || sums) && (
                <span className="figure">{said(at === null ? total(line.values) : line.values[at])}</span>
              )}
            </li>
          ))}
        </ul>
        <IconButton
          label={asTable ? `Show ${label} as a chart` : `Show ${label} as a table`}
          icon={Table2}
          size={15}
          aria-pressed={asTable}
          onClick={() => setAsTable(!asTable)}
        />
      </figcaption>
      {asTable ? (
        <section className="table-scroll" style={{ maxHeight: height + 60 }} tabIndex={0} aria-label={label}>
          <table className="table">
            <thead>
              <tr>
                <th scope="col">Time</th>
                {series.map(line => (
                  <th key={line.label} scope="col" className="cell-end">
                    <bdi>{line.label}</bdi>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {times.map((time, index) => (
                <tr key={time}>
                  <td className="nowrap">{moment(index)}</td>
                  {series.map(line => (
                    <td key={line.label} className="cell-end">
                      {said(line.values[index])}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      ) : (
        <Suspense fallback={<Skeleton height={height} />}>
          {/* Arrows walk over time, as those of a slider do, and it says where it stands. */}
          <div
            className="chart-body"
            role="slider"
            tabIndex={0}
            aria-label={summary(props)}
            aria-readonly="true"
            aria-valuemin={0}
            aria-valuemax={times.length - 1}
            aria-valuenow={at ?? times.length - 1}
            aria-valuetext={at === null ? 'No moment chosen; arrows choose one' : told(at)}
            onKeyDown={onKeyDown}
            onBlur={() => setAt(null)}
          >
            <Plot {...props} height={height} step={step} at={at} onPoint={setAt} />
            {at !== null && <span className="chart-moment">{moment(at)}</span>}
          </div>
        </Suspense>
      )}
    </figure>
  );
}

function summary({ label, series, times, format }: TimeSeriesProps): string {
  const sums = series.map(line => {
    const sum = total(line.values);
    return `${line.label} ${sum === null ? 'unknown' : format(sum)}`;
  });
  return `${label}: ${times.length} points; ${sums.join(', ')}`;
}
