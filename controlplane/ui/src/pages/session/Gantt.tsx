import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';
import { Text } from '@/kit';
import { dateTime, micros, money, seconds } from '@/kit/format';
import { visible } from '@/kit/visible';
import { type Lane, type RequestRow, spanOf } from './lanes';
import { rows, type Timescale, timescale } from './timescale';

const COLOURS = 8;
const ROW_PX = 15;
/** Rows of one agent that are drawn; what overlaps more stands on the last. */
const ROWS_MAX = 8;

/** The requests of each agent on one axis of time, coloured by model. */
export function Gantt({ lanes, models }: { lanes: readonly Lane[]; models: readonly string[] }) {
  const scale = useMemo(() => timescale(lanes.flatMap(lane => lane.requests.map(spanOf))), [lanes]);
  // Within seconds the time of day says nothing.
  const short = scale.to - scale.from < 5000;
  const colour = (row: RequestRow) => {
    const at = models.indexOf(row.model_asked);
    return at === -1 || at >= COLOURS ? 'var(--series-rest)' : `var(--series-${at + 1})`;
  };
  return (
    <div className="gantt" role="group" aria-label="Requests over time">
      <div className="gantt-axis" aria-hidden>
        <span />
        <div className="gantt-track">
          {scale.ticks.map(tick => (
            <span key={tick.time} className="gantt-tick" style={{ left: `${tick.at * 100}%` }}>
              {short
                ? `+${micros((tick.time - scale.from) * 1000)}`
                : new Date(tick.time).toLocaleTimeString('en-GB')}
            </span>
          ))}
        </div>
      </div>
      {lanes.map(lane => (
        <One key={lane.agent ?? ''} lane={lane} scale={scale} colour={colour} />
      ))}
      <ul className="legend">
        {models.slice(0, COLOURS).map((model, index) => (
          <li key={model}>
            <span className="dot" style={{ background: `var(--series-${index + 1})` }} aria-hidden />
            {model === '' ? 'no provider reached' : <Text text={model} clamp={50} mono />}
          </li>
        ))}
        {scale.breaks.length > 0 && <li className="faint">Grey stretches are pauses, drawn narrow.</li>}
      </ul>
    </div>
  );
}

function One({ lane, scale, colour }: { lane: Lane; scale: Timescale; colour: (row: RequestRow) => string }) {
  const spans = lane.requests.map(spanOf);
  const placed = rows(spans);
  const height = Math.min(placed.count, ROWS_MAX) * ROW_PX + 6;
  return (
    <div className="gantt-lane">
      <div className="gantt-name" style={{ paddingLeft: lane.depth * 14 }}>
        {lane.agent === null ? <span>Main agent</span> : <Text text={lane.agent} clamp={40} mono />}
        <span className="faint">
          {lane.sums?.requests ?? lane.requests.length}
          {lane.sums !== null && ` · ${money(lane.sums.cost_nanousd)}`}
        </span>
      </div>
      <div className="gantt-track" style={{ height }}>
        {scale.breaks.map(pause => (
          <span
            key={pause.from}
            className="gantt-break"
            style={{ left: `${pause.at * 100}%`, width: `${pause.width * 100}%` }}
            title={`Nothing for ${seconds((pause.to - pause.from) / 1000)}`}
          />
        ))}
        {lane.requests.map((row, index) => {
          const span = spans[index] ?? { from: 0, to: 0 };
          const [left, right] = [scale.place(span.from), scale.place(span.to)];
          const failed = row.status >= 400 || row.ended === 'upstream_failed' || row.ended === 'aborted';
          const label = `${visible(row.model_asked.slice(0, 80))}, ${dateTime(row.time)}, ${micros(row.duration_us)}, status ${row.status}`;
          return (
            <Link
              key={row.request_id}
              to="/requests/$id"
              params={{ id: row.request_id }}
              preload={false}
              className={failed ? 'gantt-bar gantt-failed' : 'gantt-bar'}
              style={{
                left: `${left * 100}%`,
                width: `${(right - left) * 100}%`,
                top: Math.min(placed.row[index] ?? 0, ROWS_MAX - 1) * ROW_PX + 3,
                background: colour(row),
              }}
              title={label}
              aria-label={label}
            />
          );
        })}
      </div>
    </div>
  );
}
