import { Card } from '@/kit';
import { exact } from '@/kit/Exact';
import { micros } from '@/kit/format';
import type { RequestRow } from '../logs/common/parts';
import { segments } from './timeline';

/** Where the time of a request went. */
export function TimePanel({ row }: { row: RequestRow }) {
  const parts = segments(row);
  const total = Math.max(row.duration_us, 1);
  const speed =
    row.output !== null && row.ttft_us !== null && row.duration_us > row.ttft_us && row.stream
      ? row.output / ((row.duration_us - row.ttft_us) / 1e6)
      : null;
  return (
    <Card
      title="Time"
      actions={<span title={`${row.duration_us.toLocaleString('en')} µs`}>{micros(row.duration_us)}</span>}
    >
      <div
        className="bar"
        role="img"
        aria-label={parts.map(part => `${part.label} ${micros(part.toUs - part.fromUs)}`).join(', ')}
      >
        {parts.map(part => (
          <span
            key={part.key}
            className={`bar-part time-${part.key}`}
            style={{ width: `${((part.toUs - part.fromUs) / total) * 100}%` }}
            title={`${part.label}: ${micros(part.toUs - part.fromUs)}. ${part.what}`}
          />
        ))}
      </div>
      <table className="mini" {...exact}>
        <tbody>
          {parts.map(part => (
            <tr key={part.key}>
              <td title={part.what}>
                <span className={`dot time-${part.key}`} aria-hidden /> {part.label}
              </td>
              <td className="num" title={`${(part.toUs - part.fromUs).toLocaleString('en')} µs`}>
                {micros(part.toUs - part.fromUs)}
              </td>
              <td className="num faint">{Math.round(((part.toUs - part.fromUs) / total) * 100)} %</td>
            </tr>
          ))}
          {speed !== null && (
            <tr>
              <td className="muted" title="Output tokens, reasoning included, over the time of the answer.">
                Speed of the answer
              </td>
              <td className="num" colSpan={2}>
                {speed >= 1e5 ? '> 99,999' : Math.round(speed).toLocaleString('en')} tokens/s
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </Card>
  );
}
